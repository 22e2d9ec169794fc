package browser_test

import (
	"bytes"
	"context"
	"errors"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/hack/test/browser"
	"egress.scw/hack/test/browser/fakes"
)

// externalAddress is the IP echo's answer.
const externalAddress = fakes.ExternalAddress

func allChecks() []string {
	return []string{"external-ip", "ip-info", "json", "headers", "status", "delay", "denied", "direct"}
}

// destinations are the settings for a demo behind the proxy of the fakes.
func destinations() []string {
	return []string{"--ip-echo-url=https://ip.example.com?format=json", "--ip-info-url=https://ip.example.com/info", "--echo-url=https://echo.example.com"}
}

// TestProtected presses every button of a demo that has a proxy and no other
// egress path, in light and dark, on wide and narrow screens.
func TestProtected(t *testing.T) {
	requireBrowser(t)
	internet := startInternet(t)
	proxy := startProxy(t, internet.Listener.Addr().String())
	address := startDemo(t, internet,
		[]string{
			"POD_NAME=egress-demo-7c9d8b5f6-x2x8q", "NODE_NAME=node-1", "POD_NAMESPACE=shop",
			"HTTP_PROXY=http://shop:secret@" + proxy, "http_proxy=http://shop:secret@" + proxy,
			"HTTPS_PROXY=http://shop:secret@" + proxy, "https_proxy=http://shop:secret@" + proxy,
			"NO_PROXY=localhost,127.0.0.1,::1,10.32.0.1,cluster.local,.cluster.local,internal,.internal,shop,.shop,10.32.0.0/20,100.64.0.0/15,172.16.28.0/22",
			"no_proxy=localhost,127.0.0.1",
		},
		append(destinations(), "--direct-url=http://"+closedPort(t), "--checks-per-minute=6000")...)

	tests := []struct {
		name  string
		visit browser.Visit
	}{
		{"light-wide", browser.Visit{Width: 1280}},
		{"dark-wide", browser.Visit{Width: 1280, Dark: true}},
		{"light-narrow", browser.Visit{Width: 360, Height: 740, Keys: true}},
		{"dark-narrow", browser.Visit{Width: 360, Height: 740, Dark: true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.visit.URL, test.visit.Press = address, allChecks()
			test.visit.Await = []string{`[data-testid="denial-list"] > li`}
			page := open(t, test.visit)

			via := "http://redacted@" + proxy
			if !page.Injected || page.Pod != "egress-demo-7c9d8b5f6-x2x8q" || page.Node != "node-1" || page.Namespace != "shop" {
				t.Errorf("the page shows injected %t, pod %q, node %q, namespace %q", page.Injected, page.Pod, page.Node, page.Namespace)
			}
			if got := page.Proxy["HTTPS_PROXY"]; got != via {
				t.Errorf("HTTPS_PROXY is shown as %q, want %q", got, via)
			}
			if got := page.Proxy["no_proxy"]; got != "localhost,127.0.0.1" {
				t.Errorf("no_proxy is shown as %q", got)
			}
			if strings.Contains(page.Text, "secret") {
				t.Errorf("the page shows the proxy's password:\n%s", page.Text)
			}
			if want := (browser.Way{Proxy: proxy, Internet: externalAddress, Direct: "Directly: blocked"}); page.Way != want {
				t.Errorf("the egress path is drawn as %+v, want %+v", page.Way, want)
			}
			wantResults(t, page, map[string]browser.Result{
				"external-ip": {Outcome: "protected", Status: "200", Via: via, Address: externalAddress},
				"ip-info":     {Outcome: "protected", Status: "200", Via: via, Address: externalAddress},
				"denied":      {Outcome: "protected", Status: "403", Via: via},
				"json":        {Outcome: "protected", Status: "200", Via: via},
				"headers":     {Outcome: "protected", Status: "200", Via: via},
				"status":      {Outcome: "protected", Status: "418", Via: via},
				"delay":       {Outcome: "protected", Status: "200", Via: via},
				"direct":      {Outcome: "protected", Status: "none", Via: "direct"},
			})
			if got, want := page.Results["ip-info"].Network, "AS64500 Example Cloud, Paris, FR"; got != want {
				t.Errorf("the network is shown as %q, want %q", got, want)
			}
			statement := `Tenant client-a: the request to echo.example.com:8443 is denied by the rule "port".`
			if want := (browser.Denial{Target: "echo.example.com:8443", Rule: "rule port", Statement: statement}); page.Live != "on" || page.Denials[0] != want {
				t.Errorf("live updates are %s; the newest denial is shown as %+v, want %+v", page.Live, page.Denials[0], want)
			}
			if got := page.Results["denied"].Statement; got != statement {
				t.Errorf("the refusal is shown as %q, want %q", got, statement)
			}
			if got, want := page.Results["direct"].Summary, "Blocked: the direct connection was refused."; got != want {
				t.Errorf("the direct attempt is shown as %q, want %q", got, want)
			}
			if test.visit.Keys && page.Focus != "run-direct" {
				t.Errorf("after the button was pressed by key the focus is on %q", page.Focus)
			}
		})
	}
}

// TestUnprotected runs all checks of a demo without a proxy and without a
// policy.
func TestUnprotected(t *testing.T) {
	requireBrowser(t)
	internet := startInternet(t)
	address := startDemo(t, internet, nil, "--ip-echo-url="+internet.URL+"/?format=json", "--ip-info-url="+internet.URL+"/info", "--echo-url="+internet.URL,
		"--direct-url="+internet.URL+"/?format=json")

	page := open(t, browser.Visit{URL: address, All: true})
	if page.Injected || len(page.Proxy) > 0 || !strings.Contains(page.Text, "No proxy injected") {
		t.Errorf("the page shows a proxy although there is none: injected %t, %v", page.Injected, page.Proxy)
	}
	if want := (browser.Way{Proxy: "none", Internet: externalAddress, Direct: "Directly: open"}); page.Way != want {
		t.Errorf("the egress path is drawn as %+v, want %+v", page.Way, want)
	}
	wantResults(t, page, map[string]browser.Result{
		"external-ip": {Outcome: "unprotected", Status: "200", Via: "direct", Address: externalAddress},
		"ip-info":     {Outcome: "unprotected", Status: "200", Via: "direct", Address: externalAddress},
		"denied":      {Outcome: "inconclusive", Status: "none", Via: "direct"},
		"json":        {Outcome: "unprotected", Status: "200", Via: "direct"},
		"headers":     {Outcome: "unprotected", Status: "200", Via: "direct"},
		"status":      {Outcome: "unprotected", Status: "418", Via: "direct"},
		"delay":       {Outcome: "unprotected", Status: "200", Via: "direct"},
		"direct":      {Outcome: "unprotected", Status: "200", Via: "direct", Address: externalAddress},
	})
}

// TestProxyDown shows a demo whose proxy does not answer and whose name server
// does not know the internet's names.
func TestProxyDown(t *testing.T) {
	requireBrowser(t)
	internet := startInternet(t)
	proxy := closedPort(t)
	address := startDemo(t, internet, []string{"HTTPS_PROXY=http://" + proxy},
		"--ip-echo-url=https://ip.example.com", "--direct-url=http://nowhere.invalid")

	page := open(t, browser.Visit{URL: address, Press: []string{"external-ip", "direct"}})
	wantResults(t, page, map[string]browser.Result{
		"external-ip": {Outcome: "failed", Status: "none", Via: "http://" + proxy},
		"direct":      {Outcome: "inconclusive", Status: "none", Via: "direct"},
	})
	if got := page.Results["external-ip"].Error; !strings.Contains(got, "connection refused") {
		t.Errorf("the error is shown as %q, want the reason", got)
	}
}

// TestEnvironmentUnreadable shows a page whose API is broken.
func TestEnvironmentUnreadable(t *testing.T) {
	requireBrowser(t)
	demo, err := url.Parse(startDemo(t, startInternet(t), nil))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", httputil.NewSingleHostReverseProxy(demo))
	mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	server := httptest.NewServer(mux)
	defer server.Close()

	page, err := browser.Open(t.Context(), browser.Visit{URL: server.URL})
	if err == nil || !strings.Contains(err.Error(), "The environment could not be read: the demo answered 502.") {
		t.Errorf("Open of a page without API: page %v, error %v", page, err)
	}
}

// TestOpenFails expects an error that names the failed step and its reason.
func TestOpenFails(t *testing.T) {
	requireBrowser(t)
	address := closedPort(t)
	page, err := browser.Open(t.Context(), browser.Visit{URL: "http://" + address})
	if err == nil || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "ERR_CONNECTION_REFUSED") {
		t.Errorf("Open of a closed port: page %v, error %v", page, err)
	}
}

func requireBrowser(t *testing.T) {
	t.Helper()
	if err := browser.Installed(); errors.Is(err, browser.ErrNotInstalled) {
		t.Skip(err)
	}
}

// open visits the page, keeps its screenshot (go test -artifacts) and checks
// the properties of every page.
func open(t *testing.T, v browser.Visit) *browser.Page {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	page, err := browser.Open(ctx, v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), "page.png"), page.Screenshot, 0o600); err != nil {
		t.Fatal(err)
	}
	size, err := png.DecodeConfig(bytes.NewReader(page.Screenshot))
	if err != nil {
		t.Errorf("screenshot: %v", err)
	} else if v.Width != 0 && size.Width != int(v.Width) {
		t.Errorf("the screenshot is %d pixels wide, want %d", size.Width, v.Width)
	}
	if len(page.Problems) > 0 {
		t.Errorf("the browser complains: %q", page.Problems)
	}
	if page.Overflow > 0 {
		t.Errorf("the page is %d pixels too wide for the window", page.Overflow)
	}
	return page
}

// wantResults compares the fields that identify a result.
func wantResults(t *testing.T, page *browser.Page, want map[string]browser.Result) {
	t.Helper()
	got := map[string]browser.Result{}
	for name, r := range page.Results {
		got[name] = browser.Result{Outcome: r.Outcome, Status: r.Status, Via: r.Via, Address: r.Address}
		if r.Summary == "" || r.Duration == "" || r.URL == "" {
			t.Errorf("the result of %q lacks a summary, a duration or a URL: %+v", name, r)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

// startInternet starts the destinations of the demo.
func startInternet(t *testing.T) *httptest.Server {
	t.Helper()
	server := fakes.Internet()
	t.Cleanup(server.Close)
	return server
}

// startProxy starts a proxy that connects every tunnel to internet.
func startProxy(t *testing.T, internet string) (address string) {
	t.Helper()
	return startBusyProxy(t, internet, nil)
}

// startBusyProxy is startProxy with a proxy that answers 503 where busy returns true.
func startBusyProxy(t *testing.T, internet string, busy func(host string) bool) (address string) {
	t.Helper()
	server, err := fakes.Proxy(t.Context(), "127.0.0.1:0", internet, busy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// closedPort is an address without a listener.
func closedPort(t *testing.T) string {
	t.Helper()
	address, err := fakes.ClosedPort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// startDemo builds the demo and starts it with only env in its environment. It returns
// its URL, and stops it after the test.
func startDemo(t *testing.T, internet *httptest.Server, env []string, args ...string) string {
	t.Helper()
	binary, err := fakes.Build(t.Context(), "../../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	demo, err := fakes.Start(t.Context(), binary, internet, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := demo.Stop(); err != nil {
			t.Error(err)
		}
	})
	return demo.URL
}
