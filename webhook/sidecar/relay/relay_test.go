package relay_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/sidecar"
	"egress.scw/webhook/sidecar/internal/machinetest"
	"egress.scw/webhook/sidecar/machines"
	"egress.scw/webhook/sidecar/metrics"
	"egress.scw/webhook/sidecar/relay"
)

// served is a relay that listens.
type served struct {
	*relay.Relay
	address string
	logs    *machinetest.Buffer
	machine *machinetest.Machine
	files   func() *machines.Set // of the machine, and of client-a
	filesOf func(tenant string) *machines.Set
}

func serve(t *testing.T) *served {
	t.Helper()
	authority := machinetest.NewAuthority(t)
	running, machine := machinetest.Start(t, authority)
	logs := new(machinetest.Buffer)
	logger := slog.New(slog.NewJSONHandler(logs, nil))
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{
		Relay:   relay.New(relay.Pod{Namespace: "shop", Name: "web-1"}, new(metrics.Metrics), logger),
		address: listener.Addr().String(), logs: logs, machine: running,
		filesOf: func(tenant string) *machines.Set {
			set, err := machines.New(&sidecar.Config{Tenant: tenant, Machines: []sidecar.Machine{machine}}, authority.TenantPair(t, tenant), logger)
			if err != nil {
				t.Fatal(err)
			}
			return set
		},
	}
	s.files = func() *machines.Set { return s.filesOf("client-a") }
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.Shutdown(ctx)
	})
	return s
}

// connect sends CONNECT with further text behind the header.
func (s *served) connect(t *testing.T, target, behind string) (*net.TCPConn, *http.Response, *bufio.Reader) {
	t.Helper()
	connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	_ = connection.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(connection, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s: forged\r\nProxy-Connection: keep-alive\r\n\r\n%s", target, target, names.HeaderPod, behind)
	reader := bufio.NewReader(connection)
	response, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		t.Fatal(err)
	}
	return connection.(*net.TCPConn), response, reader
}

// TestTunnel: data passes, with that which is sent without waiting, and the proxy's
// header fields come back. The pod cannot forge its name.
func TestTunnel(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.Use(s.files())
	client, response, reader := s.connect(t, machinetest.Target(t, func(c *net.TCPConn) { //nolint:bodyclose // the connection is closed
		all, _ := io.ReadAll(c)
		_, _ = c.Write(bytes.ToUpper(all))
	}), "early ")
	if response.StatusCode != http.StatusOK || response.Header.Get("X-Claimed") != "shop/web-1" || response.Header.Get(names.HeaderRevision) == "" {
		t.Fatalf("%s, %v", response.Status, response.Header)
	}
	fmt.Fprint(client, "late")
	_ = client.CloseWrite()
	if got, err := io.ReadAll(reader); err != nil || string(got) != "EARLY LATE" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestResetReachesClient: a tunnel that is reset is no clean end for the client.
func TestResetReachesClient(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.Use(s.files())
	_, _, reader := s.connect(t, machinetest.ResetTarget, "") //nolint:bodyclose // the connection is closed
	if got, err := io.ReadAll(reader); err == nil {
		t.Errorf("%q and a clean end", got)
	}
}

// TestRefusals: each has its status, and one line in the log with the reason and the
// cure. The proxy's own answer is unchanged.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		target string
		files  bool
		status int
		body   string // part of it
		reason string // part of it
	}{
		"no files":      {"a.example:443", false, 503, "Cure: see the EgressTenant's condition Ready", "were not read yet"},
		"denied":        {machinetest.DeniedTarget, true, 403, "denied", "the rules of the tenant do not permit the target"},
		"without Squid": {machinetest.UnservedTarget, true, 503, "", "the proxy does not run on any machine that answered"},
		"unreachable":   {"127.0.0.1:1", true, 503, "", "could not reach the target (ERR_CONNECT_FAIL)"},
		"no port":       {"a.example", true, 400, "Cure: request CONNECT HOST:PORT", "the target is not HOST:PORT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			if c.files {
				s.Use(s.files())
			}
			_, response, _ := s.connect(t, c.target, "") //nolint:bodyclose // the connection is closed
			body, _ := io.ReadAll(io.LimitReader(response.Body, response.ContentLength))
			if response.StatusCode != c.status || !strings.Contains(string(body), c.body) {
				t.Errorf("%s: %s", response.Status, body)
			}
			logs := s.logs.String()
			if !strings.Contains(logs, c.reason) || !strings.Contains(logs, `"target":"`+c.target+`"`) || strings.Count(logs, "a request was refused") != 1 {
				t.Errorf("logged: %s", logs)
			}
		})
	}
}

// TestPlainHTTP: the proxy gets the URL in full, and the pod's name. Its refusal comes
// back.
func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.Use(s.files())
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: s.address}), DisableKeepAlives: true}}
	const target = "http://a.example/path%2Fx?b=1;2&c"
	response, err := client.Post(target, "text/plain", strings.NewReader("body")) //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	for field, want := range map[string]string{"X-Url": target, "X-Claimed": "shop/web-1", "X-Protocol": "HTTP/1.1", "X-Forwarded": ""} {
		if got := response.Header.Get(field); got != want {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
	}
	if string(body) != "body" {
		t.Errorf("%q", body)
	}
	response, err = client.Get("http://denied.example/") //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	body, _ = io.ReadAll(response.Body)
	_ = response.Body.Close()
	if response.StatusCode != http.StatusForbidden || string(body) != "denied" || !strings.Contains(s.logs.String(), "do not permit the target") {
		t.Errorf("%s, %s, logged: %s", response.Status, body, s.logs)
	}
}

// TestNewFiles: open tunnels stay when the files change, and further ones use the new
// files.
func TestNewFiles(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.Use(s.files())
	echo := machinetest.Target(t, machinetest.Echo)
	client, _, reader := s.connect(t, echo, "") //nolint:bodyclose // the connection is closed
	s.Use(s.files())
	for _, text := range []string{"a", "b"} {
		fmt.Fprint(client, text)
		if got, err := reader.ReadByte(); err != nil || string(got) != text {
			t.Fatalf("%c, %v", got, err)
		}
		s.Refuse(io.ErrUnexpectedEOF)                                                       // former files stay in use
		if _, response, _ := s.connect(t, echo, ""); response.StatusCode != http.StatusOK { //nolint:bodyclose // the connection is closed
			t.Errorf("a further tunnel: %s", response.Status)
		}
	}
}

// TestNewFilesPlainHTTP: a request uses the certificate of the files that are in use when
// it begins, also while requests of former files have not ended.
func TestNewFilesPlainHTTP(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.Use(s.files())
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: s.address}), DisableKeepAlives: true}}
	get := func(host string) *http.Response {
		t.Helper()
		response, err := client.Get("http://" + host + "/") //nolint:noctx // loopback
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		return response
	}
	end := func(response *http.Response, tenant string) {
		t.Helper()
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
		if got := response.Header.Get("X-Tenant"); got != tenant {
			t.Errorf("the request was of %q, want %q", got, tenant)
		}
	}
	open := get(machinetest.SlowHost) //nolint:bodyclose // get closes it
	s.Use(s.filesOf("client-b"))
	end(get("a.example"), "client-b") //nolint:bodyclose // get closes it
	s.machine.Finish()
	end(open, "client-a")
	end(get("a.example"), "client-b") //nolint:bodyclose // get closes it
}

// TestShutdown: it waits for open tunnels, and closes them at its bound.
func TestShutdown(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]bool{"tunnels end": true, "tunnels do not end": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			s.Use(s.files())
			client, _, reader := s.connect(t, machinetest.Target(t, machinetest.Echo), "") //nolint:bodyclose // the connection is closed
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan struct{})
			go func() {
				s.Shutdown(ctx)
				close(done)
			}()
			for { // until it listens no more
				connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.address)
				if err != nil {
					break
				}
				_ = connection.Close()
			}
			fmt.Fprint(client, "x")
			if _, err := reader.ReadByte(); err != nil {
				t.Fatalf("the open tunnel: %v", err)
			}
			select {
			case <-done:
				t.Fatal("it did not wait for the tunnel")
			default:
			}
			if ends {
				_ = client.CloseWrite()
			} else {
				cancel()
			}
			awaitShutdown(t, done)
		})
	}
}

func awaitShutdown(t *testing.T, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("it does not return")
	}
}

// TestShutdownEndsEveryTunnel: at its bound, tunnels end whose target has sent everything
// while the client keeps its connection, and such as the machine has not answered yet.
func TestShutdownEndsEveryTunnel(t *testing.T) {
	t.Parallel()
	shutdown := func(s *served) <-chan struct{} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		done := make(chan struct{})
		go func() {
			s.Shutdown(ctx)
			close(done)
		}()
		return done
	}
	t.Run("half closed", func(t *testing.T) {
		t.Parallel()
		s := serve(t)
		s.Use(s.files())
		client, _, reader := s.connect(t, machinetest.Target(t, func(c *net.TCPConn) { //nolint:bodyclose // the connection is closed
			_ = c.CloseWrite()
			_, _ = io.Copy(io.Discard, c)
		}), "")
		if got, err := io.ReadAll(reader); err != nil || len(got) > 0 {
			t.Fatalf("%q, %v", got, err)
		}
		awaitShutdown(t, shutdown(s))
		_ = client.Close()
	})
	t.Run("unanswered", func(t *testing.T) {
		t.Parallel()
		s := serve(t)
		s.Use(s.files())
		connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = connection.Close() }()
		fmt.Fprintf(connection, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", machinetest.SlowTarget)
		s.machine.AwaitRequest(t)
		awaitShutdown(t, shutdown(s))
	})
}
