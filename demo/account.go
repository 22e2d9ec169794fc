package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
)

// account is the account that clients of the page must have. The zero value admits
// every client. It keeps digests only, so that no log or error can contain the
// password.
type account struct {
	required           bool
	username, password [sha256.Size]byte
}

// newAccount reads the account from the environment. It returns an error if only
// one of the two variables is set.
func newAccount(env lookup) (account, error) {
	username, _ := env(variableUsername)
	password, _ := env(variablePassword)
	switch {
	case username == "" && password == "":
		return account{}, nil
	case username == "" || password == "":
		return account{}, fmt.Errorf("%s and %s: only one of them is set; set both, or neither for a page without authentication", variableUsername, variablePassword)
	case strings.Contains(username, ":"):
		return account{}, fmt.Errorf("%s: must not contain a colon, which ends the name in basic authentication", variableUsername)
	}
	return account{required: true, username: sha256.Sum256([]byte(username)), password: sha256.Sum256([]byte(password))}, nil
}

// protect asks for the account (RFC 7617) before it passes a request on.
func (a account) protect(next http.Handler) http.Handler {
	if !a.required {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.admits(r) {
			w.Header().Set("WWW-Authenticate", `Basic realm="egress demo", charset="UTF-8"`)
			http.Error(w, "This page needs a name and a password.", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// admits compares digests, which have one length, in constant time, and both of
// them whatever the first comparison yields: the time of an answer depends neither on
// the correct part of a guess nor on the half that is wrong.
func (a account) admits(r *http.Request) bool {
	username, password, _ := r.BasicAuth()
	givenUsername, givenPassword := sha256.Sum256([]byte(username)), sha256.Sum256([]byte(password))
	return subtle.ConstantTimeCompare(givenUsername[:], a.username[:])&
		subtle.ConstantTimeCompare(givenPassword[:], a.password[:]) == 1
}
