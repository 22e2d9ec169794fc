package browser_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"image/png"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/hack/test/browser"
)

// externalAddress is the IP echo's answer.
const externalAddress = "203.0.113.7"

func allChecks() []string {
	return []string{"external-ip", "json", "headers", "status", "delay", "direct"}
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
		"--ip-echo-url=https://ip.example.com?format=json", "--echo-url=https://echo.example.com",
		"--direct-url=http://"+closedPort(t))

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
				"json":        {Outcome: "protected", Status: "200", Via: via},
				"headers":     {Outcome: "protected", Status: "200", Via: via},
				"status":      {Outcome: "protected", Status: "418", Via: via},
				"delay":       {Outcome: "protected", Status: "200", Via: via},
				"direct":      {Outcome: "protected", Status: "none", Via: "direct"},
			})
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
	address := startDemo(t, internet, nil, "--ip-echo-url="+internet.URL+"/?format=json", "--echo-url="+internet.URL,
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

// startInternet starts an HTTPS server that stands for the destinations of the
// demo.
func startInternet(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"ip":"`+externalAddress+`"}`)
	})
	mux.HandleFunc("GET /json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"slideshow":{"author":"Yours Truly","date":"date of publication","slides":[{"title":"Wake up to WonderWidgets!","type":"all"}]}}`)
	})
	mux.HandleFunc("GET /headers", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]http.Header{"headers": r.Header})
	})
	mux.HandleFunc("GET /status/418", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	})
	mux.HandleFunc("GET /delay/1", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Second)
		_, _ = io.WriteString(w, "{}")
	})
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	return server
}

// startProxy starts a proxy that supports only CONNECT and connects every
// tunnel to internet, whatever its name.
func startProxy(t *testing.T, internet string) (address string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || !strings.HasSuffix(r.Host, ".example.com:443") {
			http.Error(w, "CONNECT to example.com only", http.StatusForbidden)
			return
		}
		origin, err := new(net.Dialer).DialContext(r.Context(), "tcp", internet)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer origin.Close()
		client, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer client.Close()
		_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() { _, _ = io.Copy(origin, client) }()
		_, _ = io.Copy(client, origin)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// closedPort is an address without a listener.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// startDemo builds the demo and starts it with only env in its environment and
// the internet's certificate in its trust store. It returns its URL, and stops
// it by SIGTERM after the test.
func startDemo(t *testing.T, internet *httptest.Server, env []string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	binary, trust := filepath.Join(dir, "demo"), filepath.Join(dir, "ca.pem")

	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./demo")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the demo: %v\n%s", err, out)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: internet.Certificate().Raw})
	if err := os.WriteFile(trust, ca, 0o600); err != nil {
		t.Fatal(err)
	}

	demo := exec.CommandContext(context.WithoutCancel(t.Context()), binary, append(args, "--listen=127.0.0.1:0")...)
	demo.Env = slices.Concat(env, []string{"SSL_CERT_FILE=" + trust})
	stderr, err := demo.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	drained := make(chan struct{})
	t.Cleanup(func() {
		_ = demo.Process.Signal(syscall.SIGTERM)
		<-drained
		if err := demo.Wait(); err != nil {
			t.Errorf("the demo stopped with %v", err)
		}
	})

	lines := bufio.NewReader(stderr)
	first, err := lines.ReadBytes('\n')
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, lines)
	}()
	if err != nil {
		t.Fatalf("the demo did not start: %v: %s", err, first)
	}
	var started struct{ Address string }
	if err := json.Unmarshal(first, &started); err != nil || started.Address == "" {
		t.Fatalf("the demo's first line has no address: %s", first)
	}
	return "http://" + started.Address
}
