package main

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// httpbin answers like the parts of httpbin that the checks ask for, and like
// an IP echo at /ip.
func httpbin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ip", ipEcho("198.51.100.9"))
	mux.HandleFunc("GET /info", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"ip":"198.51.100.9","city":"Paris","country":"FR","org":"AS64500 Example"}`)
	})
	mux.HandleFunc("GET /json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"slideshow":{}}`)
	})
	mux.HandleFunc("GET /headers", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"User-Agent": r.UserAgent(), "Accept": r.Header.Get("Accept")})
	})
	mux.HandleFunc("GET /status/418", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	})
	mux.HandleFunc("GET /delay/1", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(50 * time.Millisecond)
		_, _ = io.WriteString(w, "{}")
	})
	return mux
}

// testChecker sends all requests to base, through proxy if it is not nil.
func testChecker(t *testing.T, base string, server *httptest.Server, proxy *url.URL) *checker {
	t.Helper()
	transport, err := defaultTransport()
	if err != nil {
		t.Fatal(err)
	}
	transport.Proxy = http.ProxyURL(proxy)
	if server.Certificate() != nil {
		pool := x509.NewCertPool()
		pool.AddCert(server.Certificate())
		transport.TLSClientConfig.RootCAs = pool
	}
	c := newChecker(targets{
		ipEcho: mustParse(t, base+"/ip"),
		ipInfo: mustParse(t, base+"/info"),
		echo:   mustParse(t, base),
		denied: onPort(mustParse(t, base), "8443"),
		direct: mustParse(t, server.URL+"/ip"),
	}, pathProxy, transport)
	c.retryDelays = []time.Duration{time.Millisecond, time.Millisecond}
	c.directTimeout = time.Minute // on a busy machine, the server answers some time later
	return c
}

// withoutProxy is the outcome of a check of a pod without a proxy and a policy.
func withoutProxy(check string) outcome {
	if check == "denied" {
		return outcomeInconclusive
	}
	return outcomeUnprotected
}

// runCheck runs a check that must exist, and removes the varying fields.
func runCheck(t *testing.T, c *checker, name string) result {
	t.Helper()
	res := c.run(t.Context(), name, func(attempt) bool { return true })
	if res.Check != name {
		t.Fatalf("check %q: result %+v", name, res)
	}
	res.DurationMS = 0
	return res
}

func TestChecksThroughProxy(t *testing.T) {
	tests := []struct {
		name     string
		server   func(http.Handler) *httptest.Server
		base     string
		target   string   // of the denial
		requests []string // of each check, as the proxy sees them
	}{
		{
			name: "HTTP", server: httptest.NewServer, base: "http://echo.example.com", target: "http://echo.example.com:8443",
			requests: []string{
				"GET http://echo.example.com/ip", "GET http://echo.example.com/info", "GET http://echo.example.com/json", "GET http://echo.example.com/headers",
				"GET http://echo.example.com/status/418", "GET http://echo.example.com/delay/1",
				"GET http://echo.example.com:8443",
			},
		},
		{
			name: "HTTPS", server: httptest.NewTLSServer, base: "https://echo.example.com", target: "echo.example.com:8443",
			requests: append(slices.Repeat([]string{"CONNECT echo.example.com:443"}, 6), "CONNECT echo.example.com:8443"),
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := test.server(httpbin())
			defer server.Close()
			proxy := startProxy(t, server.Listener.Addr().String())
			proxy.deniedPort = "8443"
			c := testChecker(t, test.base, server, proxy.url)
			via := proxy.url.String()

			want := []result{
				{
					Check: "external-ip", URL: test.base + "/ip", Status: 200, Body: `{"ip":"198.51.100.9"}`, Address: "198.51.100.9",
					Summary: "The internet sees this pod as 198.51.100.9, through the proxy.",
				},
				{
					Check: "ip-info", URL: test.base + "/info", Status: 200, Address: "198.51.100.9", Network: "AS64500 Example, Paris, FR",
					Body:    `{"ip":"198.51.100.9","city":"Paris","country":"FR","org":"AS64500 Example"}`,
					Summary: "The internet sees this pod as 198.51.100.9, through the proxy.",
				},
				{
					Check: "json", URL: test.base + "/json", Status: 200, Body: `{"slideshow":{}}`,
					Summary: "A JSON document came back through the proxy.",
				},
				{
					Check: "headers", URL: test.base + "/headers", Status: 200,
					Body:    `{"Accept":"application/json","User-Agent":"egress-demo/dev"}` + "\n",
					Summary: "The request's headers came back through the proxy.",
				},
				{
					Check: "status", URL: test.base + "/status/418", Status: 418,
					Summary: "An unusual status came back through the proxy.",
				},
				{
					Check: "delay", URL: test.base + "/delay/1", Status: 200, Body: "{}",
					Summary: "A slow answer came back through the proxy.",
				},
			}
			for _, want := range want {
				want.OK, want.Outcome, want.Via, want.Attempts = true, outcomeProtected, via, 1
				if diff := cmp.Diff(want, runCheck(t, c, want.Check)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", want.Check, diff)
				}
			}
			denied := runCheck(t, c, "denied")
			wantDenied := result{
				Check: "denied", URL: test.base + ":8443", Status: 403, Via: via, OK: true, Outcome: outcomeProtected, Attempts: 1,
				Summary: "The proxy refused echo.example.com:8443, as it must.", Body: denied.Body,
				Denial: &denial{
					Target: test.target, Status: 403, Rule: "port",
					Statement: `Tenant shop: the request to echo.example.com:8443 is denied by the rule "port".`,
				},
			}
			if diff := cmp.Diff(wantDenied, denied); diff != "" {
				t.Errorf("denied (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.requests, proxy.requests()); diff != "" {
				t.Errorf("what the proxy saw (-want +got):\n%s", diff)
			}
		})
	}
}

// TestChecksWithoutProxy: without a proxy, success is the alarm.
func TestChecksWithoutProxy(t *testing.T) {
	server := httptest.NewServer(httpbin())
	defer server.Close()
	c := testChecker(t, server.URL, server, nil)
	for _, name := range checkNames(pathProxy) {
		got := runCheck(t, c, name)
		if got.OK || got.Outcome != withoutProxy(name) || got.Via != direct || got.Error != "" {
			t.Errorf("%s without a proxy: %+v, want %s, direct", name, got, withoutProxy(name))
		}
	}
}

// TestChecksWithPathGateway: without a proxy, success is as expected, and a proxy is
// a surprise.
func TestChecksWithPathGateway(t *testing.T) {
	server := httptest.NewServer(httpbin())
	defer server.Close()
	c := testChecker(t, server.URL, server, nil)
	c.path = pathGateway
	for _, name := range c.names() {
		if got := runCheck(t, c, name); !got.OK || got.Outcome != outcomeProtected || got.Via != direct {
			t.Errorf("%s with path Gateway: %+v, want as expected, direct", name, got)
		}
	}
	if slices.Contains(c.names(), "denied") {
		t.Error("a tenant without a proxy has the check of its denials")
	}
	proxied := testChecker(t, "http://echo.example.com", server, startProxy(t, server.Listener.Addr().String()).url)
	proxied.path = pathGateway
	if got := runCheck(t, proxied, "json"); got.OK || got.Outcome != outcomeInconclusive {
		t.Errorf("with path Gateway and a proxy: %+v, want inconclusive", got)
	}
}

// TestDeniedPortIsOpen: a proxy that forwards the request fails the check.
func TestDeniedPortIsOpen(t *testing.T) {
	server := httptest.NewServer(httpbin())
	defer server.Close()
	proxy := startProxy(t, server.Listener.Addr().String())
	got := runCheck(t, testChecker(t, "http://echo.example.com", server, proxy.url), "denied")
	want := "The proxy forwarded the request to echo.example.com:8443 and returned 404 Not Found."
	if got.OK || got.Outcome != outcomeUnprotected || got.Summary != want || got.Denial != nil {
		t.Errorf("result %+v, want unprotected, %q", got, want)
	}
}

func TestUnexpectedAnswers(t *testing.T) {
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		check   string
		want    result
	}{
		{
			name: "status", handler: answer(403, "denied"), check: "json",
			want: result{Status: 403, Body: "denied", Summary: "403 Forbidden came through the proxy, not the expected 200 OK."},
		},
		{
			name: "status nobody knows", handler: answer(599, ""), check: "status",
			want: result{Status: 599, Summary: "599 came through the proxy, not the expected 418 I'm a teapot."},
		},
		{
			name: "a page where JSON should be", handler: answer(200, "<html>"), check: "json",
			want: result{
				Status: 200, Body: "<html>", Error: "the answer is not JSON",
				Summary: "An answer came through the proxy, but not the expected one.",
			},
		},
		{
			name: "no address and network", handler: answer(200, `{"error":"quota"}`), check: "ip-info",
			want: result{
				Status: 200, Body: `{"error":"quota"}`, Error: "the answer is not that of ipinfo.io: no address in it",
				Summary: "An answer came through the proxy, but not the expected one.",
			},
		},
		{
			name: "an origin cannot pose as the proxy in a tunnel", check: "json",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Squid-Error", "ERR_ACCESS_DENIED 0")
				w.WriteHeader(http.StatusForbidden)
				_, _ = io.WriteString(w, "<p>denied</p>")
			},
			want: result{Status: 403, Body: "<p>denied</p>", Summary: "403 Forbidden came through the proxy, not the expected 200 OK."},
		},
		{
			name: "no address", handler: answer(200, `{"origin":"198.51.100.9"}`), check: "external-ip",
			want: result{
				Status: 200, Body: `{"origin":"198.51.100.9"}`, Error: `the answer is not {"ip": ADDRESS}: no address in it`,
				Summary: "An answer came through the proxy, but not the expected one.",
			},
		},
		{
			name: "something else in place of the address", handler: answer(200, `{"ip":"<script>"}`), check: "external-ip",
			want: result{
				Status: 200, Body: `{"ip":"<script>"}`,
				Error:   `the answer is not {"ip": ADDRESS}: ParseAddr("<script>"): unable to parse IP`,
				Summary: "An answer came through the proxy, but not the expected one.",
			},
		},
		{
			name: "a redirect is not followed", check: "headers",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://169.254.169.254/latest/meta-data")
				w.WriteHeader(http.StatusFound)
			},
			want: result{Status: 302, Summary: "302 Found came through the proxy, not the expected 200 OK."},
		},
		{
			name: "an answer that breaks off", check: "delay",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "10")
				_, _ = io.WriteString(w, "begin")
			},
			want: result{
				Status: 200, Body: "begin", Error: "the answer broke off: unexpected EOF", Attempts: 3,
				Summary: "No answer came from echo.example.com through the proxy.",
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewTLSServer(test.handler)
			defer server.Close()
			proxy := startProxy(t, server.Listener.Addr().String())
			c := testChecker(t, "https://echo.example.com", server, proxy.url)
			got := runCheck(t, c, test.check)
			want := test.want
			want.Check, want.Outcome, want.Via, want.URL = test.check, outcomeFailed, proxy.url.String(), got.URL
			want.Attempts = max(want.Attempts, 1)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if len(proxy.requests()) != want.Attempts {
				t.Errorf("the check sent %q, want %d requests", proxy.requests(), want.Attempts)
			}
		})
	}
}

func TestBodyIsBounded(t *testing.T) {
	tests := []struct {
		name          string
		body          string
		wantBody      string
		wantTruncated bool
	}{
		{"at the bound", `"` + strings.Repeat("a", maxBody-2) + `"`, `"` + strings.Repeat("a", maxBody-2) + `"`, false},
		{"one over", "{" + strings.Repeat("a", maxBody), "{" + strings.Repeat("a", maxBody-1), true},
		{"a megabyte", "{" + strings.Repeat("a", 1<<20), "{" + strings.Repeat("a", maxBody-1), true},
		{"cut within a character", "{" + strings.Repeat("a", maxBody-2) + "€", "{" + strings.Repeat("a", maxBody-2) + "\uFFFD", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, test.body)
			}))
			defer server.Close()
			got := runCheck(t, testChecker(t, server.URL, server, nil), "json")
			if got.Body != test.wantBody || got.Truncated != test.wantTruncated || got.Outcome != outcomeUnprotected {
				t.Errorf("%d bytes (truncated %t, %s), want %d (%t, unprotected)",
					len(got.Body), got.Truncated, got.Outcome, len(test.wantBody), test.wantTruncated)
			}
		})
	}
}

func TestProxyTrouble(t *testing.T) {
	server := httptest.NewTLSServer(httpbin())
	defer server.Close()
	denying := startProxy(t, "")
	denying.denied = http.StatusForbidden

	tests := []struct {
		name      string
		proxy     *url.URL
		want      result
		wantError string
	}{
		{
			name: "refuses the tunnel", proxy: denying.url,
			want: result{
				Status: 403, Summary: "The proxy refused echo.example.com: 403 Forbidden.", Attempts: 1,
				Denial: &denial{Target: "echo.example.com:443", Status: 403, Statement: "denied"},
			},
			wantError: "the proxy answered CONNECT echo.example.com:443 with 403 Forbidden",
		},
		{
			name: "is down", proxy: mustParse(t, "http://"+refusing),
			want:      result{Summary: "No answer came from echo.example.com through the proxy.", Attempts: 3},
			wantError: "connection refused",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			proxy := *test.proxy
			proxy.User = url.UserPassword("shop", "secret")
			got := runCheck(t, testChecker(t, "https://echo.example.com", server, &proxy), "json")
			if !strings.Contains(got.Error, test.wantError) {
				t.Errorf("error %q, want %q", got.Error, test.wantError)
			}
			if strings.Contains(got.Error, "secret") {
				t.Errorf("the error shows the password: %q", got.Error)
			}
			got.Error = ""
			want := test.want
			want.Check, want.Outcome, want.URL = "json", outcomeFailed, "https://echo.example.com/json"
			want.Via = "http://redacted@" + test.proxy.Host
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
		})
	}
}

// TestProxySettingUnreadable: the real error would quote the password.
func TestProxySettingUnreadable(t *testing.T) {
	server := httptest.NewServer(httpbin())
	defer server.Close()
	c := testChecker(t, "https://echo.example.com", server, nil)
	c.transport.Proxy = func(*http.Request) (*url.URL, error) {
		return nil, errors.New(`invalid proxy address "http://shop:secret@p.test:port"`)
	}
	want := result{
		Check: "json", Outcome: outcomeFailed, URL: "https://echo.example.com/json", Attempts: 1,
		Summary: "No request was sent: the proxy setting cannot be read.", Error: "the proxy setting for https URLs is not a URL",
	}
	if diff := cmp.Diff(want, runCheck(t, c, "json")); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
}

func TestCheckTimesOut(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	c := testChecker(t, server.URL, server, nil)
	c.timeout = 50 * time.Millisecond
	got := runCheck(t, c, "delay")
	if got.Outcome != outcomeFailed || got.Error != "context deadline exceeded" {
		t.Errorf("a server that does not answer: %+v, want failed by the deadline", got)
	}
}
