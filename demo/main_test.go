package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// runMainVariable, set, makes the test binary be the demo.
const runMainVariable = "EGRESS_DEMO_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if _, set := os.LookupEnv(runMainVariable); set {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestProcess runs a real process, which finds a proxy in its environment, runs a
// check through it and stops on SIGTERM.
func TestProcess(t *testing.T) {
	echo := httptest.NewServer(ipEcho("198.51.100.9"))
	defer echo.Close()
	proxy := startProxy(t, echo.Listener.Addr().String())

	cmd := exec.CommandContext(t.Context(), os.Args[0], "--listen=127.0.0.1:0")
	cmd.Env = []string{
		runMainVariable + "=", "POD_NAME=demo-1", "HTTP_PROXY=" + proxy.url.String(),
		"EGRESS_DEMO_IP_ECHO_URL=http://ip.example.com", "EGRESS_DEMO_METRICS_LISTEN=127.0.0.1:0",
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stderr)
	first, err := lines.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the demo did not start: %v: %s", err, first)
	}
	var started struct{ Address string }
	if err := json.Unmarshal(first, &started); err != nil {
		t.Fatalf("%v: %s", err, first)
	}
	base := "http://" + started.Address
	second, err := lines.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(second, &started); err != nil || "http://"+started.Address == base {
		t.Fatalf("no address of the metrics: %v: %s", err, second)
	}
	metricsURL := "http://" + started.Address + "/metrics"

	var env environment
	call(t, http.MethodGet, base+"/api/environment", http.StatusOK, &env)
	if env.Pod != "demo-1" || !env.Injected {
		t.Errorf("environment: %+v, want pod demo-1, injected", env)
	}
	var got result
	call(t, http.MethodPost, base+"/api/checks/external-ip", http.StatusOK, &got)
	want := result{
		Check: "external-ip", Run: 1, Attempts: 1, OK: true, Outcome: outcomeProtected, URL: "http://ip.example.com",
		Summary: "The internet sees this pod as 198.51.100.9, through the proxy.",
		Via:     proxy.url.String(), Status: http.StatusOK, Address: "198.51.100.9", Body: `{"ip":"198.51.100.9"}`,
	}
	got.DurationMS = 0
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("external-ip (-want +got):\n%s", diff)
	}
	if want := []string{"GET http://ip.example.com"}; !cmp.Equal(want, proxy.requests()) {
		t.Errorf("the proxy saw %q, want %q", proxy.requests(), want)
	}

	if text := body(t, metricsURL); !strings.Contains(text, `egress_demo_checks_total{check="external-ip",outcome="protected"} 1`) {
		t.Errorf("the metrics do not count the check:\n%s", text)
	}
	if text := body(t, base+"/metrics"); strings.Contains(text, "egress_demo") {
		t.Error("the port of the page serves metrics")
	}

	// A stream has no end: it must not delay the stop.
	stream, err := http.Get(base + "/api/events") //nolint:noctx // ends with the process
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	stopped := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, rest)
	}
	if took := time.Since(stopped); took > shutdownTimeout/2 {
		t.Errorf("the demo stopped after %s, with a stream open", took)
	}
}

func TestRunNamesTheFlag(t *testing.T) {
	taken := listener(t)
	err := run(t.Context(), []string{"--listen=" + taken.Addr().String()}, variables(nil))
	if err == nil || !strings.HasPrefix(err.Error(), "--listen: ") || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("error %v, want one that names --listen", err)
	}
}

// TestServeFinishesRequests stops the server while a request is in flight.
func TestServeFinishesRequests(t *testing.T) {
	arrived, finish := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-finish
		_, _ = io.WriteString(w, "done")
	})
	ctx, stop := context.WithCancel(t.Context())
	l := listener(t)
	served := make(chan error, 1)
	go func() { served <- serve(ctx, l, handler, func() {}, slog.New(slog.DiscardHandler)) }()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan string, 1)
	go func() {
		defer close(answer)
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Error(err)
		}
		answer <- string(text)
	}()
	<-arrived
	stop()
	waitUntilRefused(t, l.Addr().String())
	close(finish)
	if got := <-answer; got != "done" {
		t.Errorf("the request in flight was answered %q, want %q", got, "done")
	}
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
}

// waitUntilRefused waits until connections to address are refused.
func waitUntilRefused(t *testing.T, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		switch {
		case err == nil:
			conn.Close()
		case !errors.Is(err, syscall.ECONNRESET): // closing the listener resets the connections in its queue
			t.Fatalf("%s still takes connections: %v", address, err)
		}
		time.Sleep(time.Millisecond)
	}
}

// body returns the body of an answer.
func body(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// variables is an environment of these variables.
func variables(set map[string]string) lookup {
	return func(name string) (string, bool) {
		value, ok := set[name]
		return value, ok
	}
}

// call does a request and decodes its JSON answer strictly.
func call(t *testing.T, method, url string, wantStatus int, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != wantStatus || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s: %s, %s; want %d, JSON", method, url, res.Status, res.Header.Get("Content-Type"), wantStatus)
	}
	decoder := json.NewDecoder(res.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
}

// refusing is an address on which no program listens. The port of a closed listener may be
// that of another test's server.
const refusing = "127.0.0.1:1"

func listener(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func mustParse(t *testing.T, rawURL string) *url.URL {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
