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

	cmd := exec.CommandContext(t.Context(), os.Args[0], "--listen=127.0.0.1:0", "--ip-echo-url=http://ip.example.com")
	cmd.Env = []string{runMainVariable + "=", "POD_NAME=demo-1", "HTTP_PROXY=" + proxy.url.String()}
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

	var env environment
	call(t, http.MethodGet, base+"/api/environment", http.StatusOK, &env)
	if env.Pod != "demo-1" || !env.Injected {
		t.Errorf("environment: %+v, want pod demo-1, injected", env)
	}
	var got result
	call(t, http.MethodPost, base+"/api/checks/external-ip", http.StatusOK, &got)
	want := result{
		Check: "external-ip", OK: true, Outcome: outcomeProtected, URL: "http://ip.example.com",
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
}

func TestParseOptions(t *testing.T) {
	tests := []struct {
		name    string
		args    []string
		want    [4]string // listen, ipEcho, echo, direct
		wantErr string
	}{
		{
			name: "defaults",
			want: [4]string{":8080", "https://api.ipify.org?format=json", "https://httpbin.org", "http://api.ipify.org?format=json"},
		},
		{
			name: "all given",
			args: []string{"--listen=127.0.0.1:1", "--ip-echo-url=http://a.test:81/ip", "--echo-url=http://b.test/x", "--direct-url=https://c.test"},
			want: [4]string{"127.0.0.1:1", "http://a.test:81/ip", "http://b.test/x", "https://c.test"},
		},
		{
			name: "direct follows ip echo off the TLS port",
			args: []string{"--ip-echo-url=https://[2001:db8::1]:8443/ip"},
			want: [4]string{":8080", "https://[2001:db8::1]:8443/ip", "https://httpbin.org", "http://[2001:db8::1]/ip"},
		},
		{
			name: "direct keeps the port of plain HTTP",
			args: []string{"--ip-echo-url=http://a.test:81/ip"},
			want: [4]string{":8080", "http://a.test:81/ip", "https://httpbin.org", "http://a.test:81/ip"},
		},
		{name: "no scheme", args: []string{"--echo-url=httpbin.org"}, wantErr: `--echo-url: "httpbin.org" is not an absolute http or https URL`},
		{name: "other scheme", args: []string{"--direct-url=file:///etc/passwd"}, wantErr: `--direct-url: "file:///etc/passwd" is not an absolute http or https URL`},
		{name: "no host", args: []string{"--ip-echo-url=https://:443/"}, wantErr: `--ip-echo-url: "https://:443/" is not`},
		{name: "not a URL", args: []string{"--ip-echo-url=https://a b/"}, wantErr: `--ip-echo-url: parse "https://a b/"`},
		{name: "credentials", args: []string{"--echo-url=https://me:secret@b.test"}, wantErr: "--echo-url: must not contain credentials"},
		{name: "argument", args: []string{"serve"}, wantErr: `unexpected argument "serve"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opts, err := parseOptions(test.args)
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) {
					t.Fatalf("error %v, want %q", err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := [4]string{opts.listen, opts.targets.ipEcho.String(), opts.targets.echo.String(), opts.targets.direct.String()}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRunNamesTheFlag(t *testing.T) {
	taken := listen(t)
	err := run(t.Context(), []string{"--listen=" + taken.Addr().String()})
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
	listener := listen(t)
	served := make(chan error, 1)
	go func() { served <- serve(ctx, listener, handler, slog.New(slog.DiscardHandler)) }()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	body := make(chan string, 1)
	go func() {
		defer close(body)
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
		body <- string(text)
	}()
	<-arrived
	stop()
	waitUntilRefused(t, listener.Addr().String())
	close(finish)
	if got := <-body; got != "done" {
		t.Errorf("the request in flight was answered %q, want %q", got, "done")
	}
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
}

// waitUntilRefused waits until connections to address are refused.
func waitUntilRefused(t *testing.T, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
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

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

func mustParse(t *testing.T, rawURL string) *url.URL {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
