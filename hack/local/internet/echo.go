package internet

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxDelay bounds /delay/{seconds}.
const maxDelay = 10

// ipInfoHost is the host name under which /json is that of ipinfo.io.
const ipInfoHost = "ipinfo.io"

// echoHandler answers, under every host name, like two public services, and under
// ipInfoHost also like a third one:
//
//	/                    the client's address as plain text, or as JSON ({"ip"})
//	                     with ?format=json, like api.ipify.org
//	/ip                  the client's address ({"origin"}); this and the rest
//	                     like httpbin.org
//	/get                 the request: arguments, headers, origin, URL
//	/headers             the request's headers
//	/json                some JSON; of ipInfoHost, the client's address and what is known
//	                     of it, which is "bogon" there for all of our addresses
//	/status/{code}       an answer with that status, 200 to 599
//	/delay/{seconds}     as /get, after at most 10 seconds
//
// The address is that of the connection. Headers do not change it.
func echoHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("format") == "json" {
			writeJSON(w, map[string]string{"ip": clientAddress(r)})
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, clientAddress(r))
	})
	mux.HandleFunc("GET /ip", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, map[string]string{"origin": clientAddress(r)})
	})
	mux.HandleFunc("GET /get", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, describe(r))
	})
	mux.HandleFunc("GET /headers", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, map[string]any{"headers": describe(r).Headers})
	})
	mux.HandleFunc("GET "+ipInfoHost+"/json", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, map[string]any{"ip": clientAddress(r), "bogon": true})
	})
	mux.HandleFunc("GET /json", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]any{"service": "echo", "paths": []string{"/", "/ip", "/get", "/headers", "/json", "/status/{code}", "/delay/{seconds}"}})
	})
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.PathValue("code"))
		if err != nil || code < 200 || code > 599 {
			http.Error(w, "the status must be a number from 200 to 599", http.StatusBadRequest)
			return
		}
		w.WriteHeader(code)
	})
	mux.HandleFunc("GET /delay/{seconds}", func(w http.ResponseWriter, r *http.Request) {
		seconds, err := strconv.ParseFloat(r.PathValue("seconds"), 64)
		if err != nil || math.IsNaN(seconds) || seconds < 0 || seconds > maxDelay {
			http.Error(w, fmt.Sprintf("the delay must be a number of seconds from 0 to %d", maxDelay), http.StatusBadRequest)
			return
		}
		select {
		case <-time.After(time.Duration(seconds * float64(time.Second))):
			writeJSON(w, describe(r))
		case <-r.Context().Done():
		}
	})
	return mux
}

// description is /get's description of a request.
type description struct {
	Args    map[string]string `json:"args"`
	Headers map[string]string `json:"headers"`
	Origin  string            `json:"origin"`
	URL     string            `json:"url"`
}

func describe(r *http.Request) description {
	result := description{Args: map[string]string{}, Headers: map[string]string{"Host": r.Host}, Origin: clientAddress(r)}
	for name, values := range r.URL.Query() {
		result.Args[name] = strings.Join(values, ",")
	}
	for name, values := range r.Header {
		result.Headers[name] = strings.Join(values, ",")
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	result.URL = scheme + "://" + r.Host + r.URL.RequestURI()
	return result
}

// clientAddress is the address that the connection comes from.
func clientAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	// The client has disconnected: an error cannot be reported to it.
	_ = json.NewEncoder(w).Encode(value)
}
