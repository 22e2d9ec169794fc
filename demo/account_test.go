package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestAccount asks every path of a demo with an account. The probes of the kubelet have
// none.
func TestAccount(t *testing.T) {
	internet := httptest.NewServer(httpbin())
	defer internet.Close()
	logged := new(bytes.Buffer)
	env := variables(map[string]string{variableUsername: "shop", variablePassword: "correct horse"})
	owner, err := newAccount(env)
	if err != nil {
		t.Fatal(err)
	}
	checks := newRunner(testChecker(t, internet.URL, internet, nil), maxChecksPerMinute, newHub(newMetrics()), slog.New(slog.NewJSONHandler(logged, nil)))
	demo := httptest.NewServer(newHandler(readEnvironment(pathProxy, env), checks, owner))
	defer demo.Close()

	// ask returns the head of an answer.
	ask := func(method, path, username, password string) (status int, header http.Header) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, demo.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if username+password != "" {
			req.SetBasicAuth(username, password)
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode, res.Header
	}
	for _, request := range []struct{ method, path string }{
		{"GET", "/"}, {"GET", "/static/app.js"}, {"GET", "/api/environment"}, {"GET", "/api/events"}, {"POST", "/api/checks/json"}, {"GET", "/missing"}, {"POST", "/healthz"},
	} {
		for _, given := range [][2]string{{"", ""}, {"shop", ""}, {"", "correct horse"}, {"shop", "wrong"}, {"other", "correct horse"}, {"shop", "correct horse "}} {
			status, header := ask(request.method, request.path, given[0], given[1])
			if status != http.StatusUnauthorized || !strings.HasPrefix(header.Get("WWW-Authenticate"), "Basic ") ||
				header.Get("Content-Security-Policy") != contentSecurityPolicy {
				t.Errorf("%s %s as %q: %d, %q, want 401", request.method, request.path, given, status, header)
			}
		}
	}
	if logged.Len() > 0 {
		t.Errorf("a client without the account ran a check: %s", logged)
	}
	if status, _ := ask("GET", "/healthz", "", ""); status != http.StatusOK {
		t.Errorf("/healthz without the account: %d", status)
	}
	for path, method := range map[string]string{"/": "GET", "/api/environment": "GET", "/api/checks/json": "POST"} {
		if status, _ := ask(method, path, "shop", "correct horse"); status != http.StatusOK {
			t.Errorf("%s %s with the account: %d", method, path, status)
		}
	}
	if strings.Contains(logged.String(), "horse") {
		t.Errorf("the log shows the password: %s", logged)
	}
}
