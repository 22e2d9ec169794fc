package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDirectIsOpen(t *testing.T) {
	hangUp := func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	}
	tests := []struct {
		name        string
		server      func(http.Handler) *httptest.Server
		handler     http.HandlerFunc
		wantSummary string // %s is the server's address
		wantAddress string
		wantError   string
	}{
		{
			name: "HTTP", server: httptest.NewServer, handler: ipEcho("198.51.100.66"),
			wantSummary: "This pod reached the internet directly, which saw it as 198.51.100.66.", wantAddress: "198.51.100.66",
		},
		{
			name: "HTTPS", server: httptest.NewTLSServer, handler: ipEcho("198.51.100.66"),
			wantSummary: "This pod reached the internet directly, which saw it as 198.51.100.66.", wantAddress: "198.51.100.66",
		},
		{
			name: "answer without an address", server: httptest.NewServer,
			handler:     func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
			wantSummary: "This pod reached the internet directly, at %s.",
		},
		{
			name: "connection but no answer", server: httptest.NewServer, handler: hangUp,
			wantSummary: "This pod opened a direct connection to %s, though no answer followed.", wantError: "EOF",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := test.server(test.handler)
			defer server.Close()
			// The proxy must not matter.
			proxy := startProxy(t, "")
			c := testChecker(t, "https://echo.example.com", server, proxy.url)

			got := runCheck(t, c, "direct")
			wantSummary := strings.ReplaceAll(test.wantSummary, "%s", server.Listener.Addr().String())
			if got.OK || got.Outcome != outcomeUnprotected || got.Summary != wantSummary || got.Address != test.wantAddress || got.Via != direct {
				t.Errorf("result %+v, want unprotected, %q, address %q", got, wantSummary, test.wantAddress)
			}
			if !strings.Contains(got.Error, test.wantError) || (got.Error != "") != (test.wantError != "") {
				t.Errorf("error %q, want %q", got.Error, test.wantError)
			}
			if seen := proxy.requests(); len(seen) > 0 {
				t.Errorf("the direct attempt used the proxy: %q", seen)
			}
		})
	}
}

func TestDirectIsBlocked(t *testing.T) {
	tests := []struct {
		name      string
		address   string
		timeout   time.Duration
		want      string
		wantError string
	}{
		{"refused", refusing, time.Minute, "Blocked: the direct connection was refused.", "connection refused"},
		{"dropped", dropsPackets(t), shortTimeout, "Blocked: the direct connection timed out.", "i/o timeout"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := directChecker(t, "http://"+test.address)
			c.directTimeout = test.timeout
			got := runCheck(t, c, "direct")
			if !got.OK || got.Outcome != outcomeProtected || got.Summary != test.want || !strings.Contains(got.Error, test.wantError) {
				t.Errorf("result %+v, want protected, %q, error %q", got, test.want, test.wantError)
			}
		})
	}
}

// TestDirectWithPathGateway: the direct way is the tenant's own, and a block is the
// failure.
func TestDirectWithPathGateway(t *testing.T) {
	server := httptest.NewServer(ipEcho("198.51.100.66"))
	defer server.Close()
	for _, test := range []struct {
		url  string
		want outcome
	}{{server.URL, outcomeProtected}, {"http://" + refusing, outcomeFailed}} {
		c := directChecker(t, test.url)
		c.path = pathGateway
		if got := runCheck(t, c, "direct"); got.Outcome != test.want || got.OK != (test.want == outcomeProtected) {
			t.Errorf("%s: %+v, want %s", test.url, got, test.want)
		}
	}
}

// TestDirectWithoutName: a failed lookup proves nothing, also if it is a timeout.
func TestDirectWithoutName(t *testing.T) {
	silent, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()

	resolvers := map[string]func(context.Context, string, string) (net.Conn, error){
		"name server does not answer": func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", silent.LocalAddr().String())
		},
		"name server cannot be reached": func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no route")
		},
	}
	for name, dial := range resolvers {
		t.Run(name, func(t *testing.T) {
			c := directChecker(t, "http://ip.example.com")
			c.directTimeout = shortTimeout
			c.dialer.Resolver = &net.Resolver{PreferGo: true, Dial: dial}
			got := runCheck(t, c, "direct")
			want := "Could not resolve ip.example.com: this does not show whether the egress path is open."
			if got.OK || got.Outcome != outcomeInconclusive || got.Summary != want || !strings.Contains(got.Error, "lookup ip.example.com") {
				t.Errorf("result %+v, want inconclusive, %q, an error about the lookup", got, want)
			}
		})
	}
}

// TestExplainNoConnection covers the errors that do not occur on loopback.
func TestExplainNoConnection(t *testing.T) {
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	tests := []struct {
		err         error
		want        outcome
		wantSummary string
	}{
		{dial(syscall.ECONNRESET), outcomeProtected, "Blocked: the direct connection was refused."},
		{dial(syscall.ETIMEDOUT), outcomeProtected, "Blocked: the direct connection timed out."},
		{dial(syscall.ENETUNREACH), outcomeProtected, "Blocked: there is no direct way to a.test."},
		{dial(syscall.EHOSTUNREACH), outcomeProtected, "Blocked: there is no direct way to a.test."},
		{dial(syscall.EPERM), outcomeProtected, "Blocked: there is no direct way to a.test."},
		{dial(syscall.EACCES), outcomeProtected, "Blocked: there is no direct way to a.test."},
		{dial(syscall.EMFILE), outcomeInconclusive, "The direct connection failed, but not for a reason that shows a block."},
		{
			&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "i/o timeout", Name: "a.test", IsTimeout: true}},
			outcomeInconclusive, "Could not resolve a.test: this does not show whether the egress path is open.",
		},
		{fmt.Errorf("dial: %w", context.Canceled), outcomeInconclusive, "The attempt was cancelled before it ended."},
	}
	for _, test := range tests {
		got, summary := explainNoConnection("a.test", test.err)
		if diff := cmp.Diff([]string{string(test.want), test.wantSummary}, []string{string(got), summary}); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.err, diff)
		}
	}
}

func TestHostPort(t *testing.T) {
	for rawURL, want := range map[string]string{
		"http://a.test/x":         "a.test:80",
		"https://a.test":          "a.test:443",
		"http://a.test:8080":      "a.test:8080",
		"http://[2001:db8::1]/":   "[2001:db8::1]:80",
		"https://[2001:db8::1]:1": "[2001:db8::1]:1",
	} {
		if got := hostPort(mustParse(t, rawURL)); got != want {
			t.Errorf("hostPort(%q) = %q, want %q", rawURL, got, want)
		}
	}
}

// shortTimeout is for attempts that get no answer.
const shortTimeout = 300 * time.Millisecond

// directChecker returns a checker for rawURL. Its timeout is one for attempts that get an
// answer, on a busy machine some time later.
func directChecker(t *testing.T, rawURL string) *checker {
	t.Helper()
	transport, err := defaultTransport()
	if err != nil {
		t.Fatal(err)
	}
	c := newChecker(targets{direct: mustParse(t, rawURL), echo: mustParse(t, "http://echo.example.com")}, pathProxy, transport)
	c.directTimeout = time.Minute
	return c
}

// dropsPackets returns an address that behaves like a policy that drops packets:
// its queue of connections is full.
func dropsPackets(t *testing.T) (address string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "listener")
	t.Cleanup(func() { file.Close() })
	if err := errors.Join(
		syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
		syscall.Listen(fd, 0),
	); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	local, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		t.Fatalf("the listener's address is a %T", name)
	}
	address = fmt.Sprintf("127.0.0.1:%d", local.Port)
	for range 16 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // not only because the machine is busy
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		cancel()
		if err != nil {
			return address
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Fatal("the listener's queue does not fill")
	return ""
}
