package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// testDemo serves the demo; its checks go to server without a proxy. The buffer
// receives its log.
func testDemo(t *testing.T, server *httptest.Server) (base string, logged *bytes.Buffer) {
	t.Helper()
	logged = new(bytes.Buffer)
	logger := slog.New(slog.NewJSONHandler(logged, nil))
	checks := newRunner(testChecker(t, server.URL, server, nil), maxChecksPerMinute, newHub(newMetrics()), logger)
	demo := httptest.NewServer(newHandler(readEnvironment(pathProxy, variables(nil)), checks, account{}))
	t.Cleanup(demo.Close)
	return demo.URL, logged
}

func TestHandler(t *testing.T) {
	internet := httptest.NewServer(httpbin())
	defer internet.Close()
	base, _ := testDemo(t, internet)

	tests := []struct {
		name, method, path string
		header             http.Header
		wantStatus         int
		wantType           string
		wantBody           string // part of it
	}{
		{name: "page", method: "GET", path: "/", wantStatus: 200, wantType: "text/html; charset=utf-8", wantBody: "<h1>Egress demo</h1>"},
		{name: "script", method: "GET", path: "/static/app.js", wantStatus: 200, wantType: "text/javascript; charset=utf-8", wantBody: "loadEnvironment();"},
		{name: "style", method: "GET", path: "/static/style.css", wantStatus: 200, wantType: "text/css; charset=utf-8", wantBody: ":root"},
		{name: "icon", method: "GET", path: "/static/favicon.svg", wantStatus: 200, wantType: "image/svg+xml", wantBody: "<svg"},
		{name: "no listing", method: "GET", path: "/static/", wantStatus: 404, wantType: "text/plain; charset=utf-8"},
		{name: "no such file", method: "GET", path: "/static/main.go", wantStatus: 404, wantType: "text/plain; charset=utf-8"},
		{name: "no way up", method: "GET", path: "/static/..%2fmain.go", wantStatus: 404, wantType: "text/plain; charset=utf-8"},
		{name: "no such page", method: "GET", path: "/index.php", wantStatus: 404, wantType: "text/plain; charset=utf-8"},
		{name: "health", method: "GET", path: "/healthz", wantStatus: 200, wantType: "text/plain; charset=utf-8", wantBody: "ok\n"},
		{name: "environment", method: "GET", path: "/api/environment", wantStatus: 200, wantType: "application/json", wantBody: `"injected":false`},
		{name: "module of the script", method: "GET", path: "/static/live.js", wantStatus: 200, wantType: "text/javascript; charset=utf-8", wantBody: "EventSource"},
		{name: "events are read only", method: "POST", path: "/api/events", wantStatus: 405, wantType: "text/plain; charset=utf-8"},
		{name: "environment is read only", method: "PUT", path: "/api/environment", wantStatus: 405, wantType: "text/plain; charset=utf-8"},
		{name: "check", method: "POST", path: "/api/checks/json", wantStatus: 200, wantType: "application/json", wantBody: `"check":"json"`},
		{
			name: "check from the page", method: "POST", path: "/api/checks/json", header: http.Header{"Sec-Fetch-Site": {"same-origin"}},
			wantStatus: 200, wantType: "application/json", wantBody: `"check":"json"`,
		},
		{
			name: "check from another page", method: "POST", path: "/api/checks/json", header: http.Header{"Sec-Fetch-Site": {"cross-site"}},
			wantStatus: 403, wantType: "text/plain; charset=utf-8",
		},
		{name: "a look does not run a check", method: "GET", path: "/api/checks/json", wantStatus: 405, wantType: "text/plain; charset=utf-8"},
		{
			name: "unknown check", method: "POST", path: "/api/checks/ftp", wantStatus: 404, wantType: "application/json",
			wantBody: `{"error":"unknown check \"ftp\"; the checks are: external-ip, ip-info, json, headers, status, delay, denied, direct"}`,
		},
		{
			name: "a URL is not a check", method: "POST", path: "/api/checks/http:%2F%2F169.254.169.254", wantStatus: 404, wantType: "application/json",
			wantBody: `unknown check \"http://169.254.169.254\"`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), test.method, base+test.path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			maps.Copy(req.Header, test.header)
			res, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != test.wantStatus || res.Header.Get("Content-Type") != test.wantType || !strings.Contains(string(body), test.wantBody) {
				t.Errorf("%d, %s: %s\nwant %d, %s: …%s…", res.StatusCode, res.Header.Get("Content-Type"), body, test.wantStatus, test.wantType, test.wantBody)
			}
			if got := res.Header.Get("Cache-Control"); res.StatusCode == http.StatusOK && got != "no-store" {
				t.Errorf("Cache-Control: %q, want no-store", got)
			}
			for name, want := range map[string]string{
				"Content-Security-Policy": contentSecurityPolicy, "X-Content-Type-Options": "nosniff",
				"Referrer-Policy": "no-referrer",
			} {
				if got := res.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

// TestEveryCheckByHTTP runs the checks as the page does: the API's answers have
// only the fields of result.
func TestEveryCheckByHTTP(t *testing.T) {
	internet := httptest.NewServer(httpbin())
	defer internet.Close()
	base, logged := testDemo(t, internet)
	for i, name := range checkNames(pathProxy) {
		var got result
		call(t, http.MethodPost, base+"/api/checks/"+name, http.StatusOK, &got)
		if got.Check != name || got.Run != uint64(i+1) || got.Outcome != withoutProxy(name) {
			t.Errorf("%s: %+v, want run %d, %s", name, got, i+1, withoutProxy(name))
		}
	}
	for line := range strings.Lines(strings.TrimSpace(logged.String())) {
		var entry struct{ Msg, Check, Outcome, Via string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if entry.Msg != "check" || entry.Check == "" || entry.Outcome != string(withoutProxy(entry.Check)) || entry.Via != direct {
			t.Errorf("log entry %s", line)
		}
	}
	if got, want := strings.Count(logged.String(), "\n"), len(checkNames(pathProxy)); got != want {
		t.Errorf("%d log entries for %d checks", got, want)
	}
}

// TestPageOffersEveryCheck compares the page with the API, and holds the page
// to what its Content-Security-Policy allows.
func TestPageOffersEveryCheck(t *testing.T) {
	page, err := static.ReadFile("static/index.html")
	if err != nil {
		t.Fatal(err)
	}
	var buttons []string
	for _, match := range regexp.MustCompile(` data-check="([^"]+)"`).FindAllSubmatch(page, -1) {
		name := string(match[1])
		buttons = append(buttons, name)
		for _, id := range []string{"check-" + name, "run-" + name, "result-" + name} {
			if count := bytes.Count(page, []byte(`data-testid="`+id+`"`)); count != 1 {
				t.Errorf("the page has %d elements with the test id %q, want 1", count, id)
			}
		}
	}
	if diff := cmp.Diff(checkNames(pathProxy), buttons); diff != "" {
		t.Errorf("checks of the API and buttons of the page (-API +page):\n%s", diff)
	}
	for _, forbidden := range []string{"<style", " style=", " onclick=", "<script>", "http://", "https://"} {
		if bytes.Contains(page, []byte(forbidden)) {
			t.Errorf("the page contains %q, which its policy forbids", forbidden)
		}
	}
}
