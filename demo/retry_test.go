package main

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRetries answers the first requests with a status.
func TestRetries(t *testing.T) {
	tests := []struct {
		name         string
		status       int
		failures     int32
		wantOutcome  outcome
		wantAttempts int
	}{
		{"a gateway recovers", http.StatusBadGateway, 1, outcomeProtected, 2},
		{"a service recovers in time", http.StatusServiceUnavailable, 2, outcomeProtected, 3},
		{"a service recovers too late", http.StatusGatewayTimeout, 3, outcomeFailed, 3},
		{"a defect stays", http.StatusInternalServerError, 1, outcomeFailed, 1},
		{"a refusal stays", http.StatusForbidden, 1, outcomeFailed, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var requests atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if requests.Add(1) <= test.failures {
					w.WriteHeader(test.status)
					return
				}
				httpbin().ServeHTTP(w, r)
			}))
			defer server.Close()
			c := testChecker(t, "http://echo.example.com", server, startProxy(t, server.Listener.Addr().String()).url)
			var seen []attempt
			got := c.run(t.Context(), "json", func(a attempt) bool {
				seen = append(seen, a)
				return true
			})
			if got.Outcome != test.wantOutcome || got.Attempts != test.wantAttempts || int(requests.Load()) != test.wantAttempts {
				t.Errorf("%+v after %d requests, want %s after %d", got, requests.Load(), test.wantOutcome, test.wantAttempts)
			}
			var want []attempt
			for number := 1; number < test.wantAttempts; number++ {
				want = append(want, attempt{
					Number: number, Of: 3, RetryInMS: 1,
					Summary: statusText(test.status) + " came through the proxy, not the expected 200 OK.",
				})
			}
			if diff := cmp.Diff(want, seen); diff != "" {
				t.Errorf("attempts (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRetryIsPrevented: without a permit the first answer is the last.
func TestRetryIsPrevented(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer server.Close()
	got := testChecker(t, server.URL, server, nil).run(t.Context(), "json", func(attempt) bool { return false })
	if got.Attempts != 1 || got.Outcome != outcomeFailed {
		t.Errorf("%+v, want failed after one attempt", got)
	}
}

// TestCertificateIsNotRetried: a certificate that is not valid stays so.
func TestCertificateIsNotRetried(t *testing.T) {
	server := httptest.NewTLSServer(httpbin())
	defer server.Close()
	c := testChecker(t, server.URL, server, nil)
	c.transport.TLSClientConfig.RootCAs = nil
	if got := runCheck(t, c, "json"); got.Attempts != 1 || got.Outcome != outcomeFailed {
		t.Errorf("%+v, want failed after one attempt", got)
	}
}

// TestRetriesEndWithTheCheck: the delays and the attempts fit into the bound of a check.
func TestRetriesEndWithTheCheck(t *testing.T) {
	total := attemptTimeout
	for _, delay := range retryDelays() {
		total += delay + attemptTimeout
	}
	if total > checkTimeout || checkTimeout >= shutdownTimeout {
		t.Errorf("attempts take up to %s, a check %s, the shutdown waits %s", total, checkTimeout, shutdownTimeout)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer server.Close()
	c := testChecker(t, server.URL, server, nil)
	c.timeout, c.retryDelays = 50*time.Millisecond, []time.Duration{time.Minute}
	if got := runCheck(t, c, "json"); got.Attempts != 1 || got.DurationMS > time.Minute.Milliseconds()/2 {
		t.Errorf("%+v, want an end by the bound of the check", got)
	}
}
