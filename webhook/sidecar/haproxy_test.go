package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"egress.scw/webhook/api/sidecar"
	"egress.scw/webhook/sidecar/internal/machinetest"
	"egress.scw/webhook/sidecar/machines"
	"egress.scw/webhook/sidecar/metrics"
	"egress.scw/webhook/sidecar/relay"
)

// haproxy is a running HAProxy with the port for sidecars, in front of a proxy.
type haproxy struct {
	sidecar.Machine
	files    []string // arguments
	process  *exec.Cmd
	requests atomic.Int64 // that its proxy has got
}

// haproxyConfig has the parts of the proxy machine's configuration that concern the
// protocol.
const haproxyConfig = `
global
    maxconn 2000
    ssl-default-bind-options ssl-min-ver TLSv1.3 no-tls-tickets
    tune.h2.max-concurrent-streams 100
defaults
    mode http
    option http-no-delay
    http-reuse never
    timeout connect 5s
    timeout client 1m
    timeout server 1m
    timeout tunnel 1m
frontend sidecars
    bind %s ssl crt %s ca-file %s verify required alpn h2,http/1.1
    default_backend proxy
backend proxy
    server proxy %s
`

func startHAProxy(t testing.TB, authority *machinetest.Authority) *haproxy {
	t.Helper()
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Skip("skipped: there is no haproxy on this machine (Debian: apt install haproxy)")
	}
	h := new(haproxy)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.requests.Add(1)
		plainProxy(w, r)
	}))
	t.Cleanup(proxy.CloseClientConnections)
	certificate, key := machinetest.MachineCertificate(t)
	folder := t.TempDir()
	write := func(name string, content []byte) string {
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	address := freeAddress(t)
	h.Machine = sidecar.Machine{Address: netip.MustParseAddrPort(address), Certificate: string(certificate)}
	config := fmt.Sprintf(haproxyConfig, address, write("machine.pem", append(certificate, key...)), write("ca.pem", authority.PEM), proxy.Listener.Addr())
	h.files = []string{"-db", "-f", write("haproxy.cfg", []byte(config))}
	h.start(t)
	return h
}

// start starts HAProxy, with further arguments, and waits until it listens.
func (h *haproxy) start(t testing.TB, args ...string) {
	t.Helper()
	output := new(machinetest.Buffer)
	process := exec.CommandContext(context.Background(), "haproxy", append(args, h.files...)...)
	process.Stdout, process.Stderr = output, output
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	h.process = process
	for range 600 {
		connection, err := net.Dial("tcp", h.Address.String()) //nolint:noctx // loopback
		if err == nil {
			_ = connection.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("HAProxy does not listen: %s", output.String())
}

// reload replaces the process by another one, which takes over the port.
func (h *haproxy) reload(t testing.TB) {
	h.start(t, "-sf", strconv.Itoa(h.process.Process.Pid))
}

// plainProxy is a proxy without rules.
func plainProxy(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		fmt.Fprint(w, r.RequestURI)
		return
	}
	target, err := net.Dial("tcp", r.Host) //nolint:noctx // loopback
	if err != nil {
		w.Header().Set("X-Squid-Error", "ERR_CONNECT_FAIL 111")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = target.Close()
		return
	}
	fmt.Fprint(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(target, buffered)
		_ = target.(*net.TCPConn).CloseWrite()
	})
	both.Go(func() {
		_, _ = io.Copy(client, target)
		_ = client.(*net.TCPConn).CloseWrite()
	})
	both.Wait()
	_ = client.Close()
	_ = target.Close()
}

// pod is a relay that listens.
type pod struct {
	*relay.Relay
	address   string
	authority *machinetest.Authority
	config    *sidecar.Config
	logs      *machinetest.Buffer
}

func startPod(t testing.TB, authority *machinetest.Authority, list ...sidecar.Machine) *pod {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	p := &pod{
		address: listener.Addr().String(), authority: authority, logs: new(machinetest.Buffer),
		config: &sidecar.Config{Tenant: "client-a", Machines: list},
	}
	p.Relay = relay.New(relay.Pod{Namespace: "shop", Name: "web-1"}, new(metrics.Metrics), slog.New(slog.NewJSONHandler(p.logs, nil)))
	p.rotate(t)
	go func() { _ = p.Serve(listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		p.Shutdown(ctx)
	})
	return p
}

// rotate gives the pod another certificate.
func (p *pod) rotate(t testing.TB) {
	t.Helper()
	set, err := machines.New(p.config, p.authority.TenantPair(t, "client-a"), slog.New(slog.NewJSONHandler(p.logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	p.Use(set)
}

// tunnel opens a tunnel.
func (p *pod) tunnel(target string) (*net.TCPConn, *bufio.Reader, error) {
	connection, err := net.Dial("tcp", p.address) //nolint:noctx // loopback
	if err != nil {
		return nil, nil, err
	}
	_ = connection.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(connection, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", target)
	reader := bufio.NewReader(connection)
	response, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect}) //nolint:bodyclose // the connection is closed
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", response.Status)
	}
	if err != nil {
		_ = connection.Close()
		return nil, nil, err
	}
	return connection.(*net.TCPConn), reader, nil
}

// exchange opens a tunnel to an echo server, and sends a byte through it. It returns
// the time at which the tunnel was open.
func (p *pod) exchange(echo string) (opened time.Time, err error) {
	connection, reader, err := p.tunnel(echo)
	if err != nil {
		return time.Time{}, err
	}
	opened = time.Now()
	defer func() { _ = connection.Close() }()
	if _, err := connection.Write([]byte("x")); err != nil {
		return opened, err
	}
	_, err = reader.ReadByte()
	return opened, err
}

// load makes loadRate exchanges a second for some time, with an event in it. The event
// returns the time up to which connections that were open may fail. load returns the other
// errors by the time of their start after the beginning of the event.
func (p *pod) load(t *testing.T, echo string, event func() time.Time) (count int, failed map[time.Duration]error) {
	t.Helper()
	const (
		before = time.Second
		after  = 5 * time.Second
	)
	type failure struct {
		since  time.Duration
		opened time.Time
		err    error
	}
	var failures []failure
	var excused time.Time
	var mu sync.Mutex
	var all sync.WaitGroup
	ticker := time.NewTicker(time.Second / loadRate)
	defer ticker.Stop()
	start := time.Now()
	happened := false
	for now := range ticker.C {
		since := now.Sub(start) - before
		if since > after {
			break
		}
		if since > 0 && !happened {
			happened = true
			all.Go(func() { excused = event() })
		}
		count++
		all.Go(func() {
			if opened, err := p.exchange(echo); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failures = append(failures, failure{since, opened, err})
			}
		})
	}
	all.Wait()
	failed = map[time.Duration]error{}
	for _, f := range failures {
		if f.opened.IsZero() || f.opened.After(excused) {
			failed[f.since] = f.err
		}
	}
	return count, failed
}

// TestHAProxyHalfClose: both directions of a tunnel end by themselves, and resets
// reach the client.
func TestHAProxyHalfClose(t *testing.T) {
	t.Parallel()
	authority := machinetest.NewAuthority(t)
	p := startPod(t, authority, startHAProxy(t, authority).Machine)
	client, reader, err := p.tunnel(machinetest.Target(t, func(c *net.TCPConn) {
		all, _ := io.ReadAll(c)
		_, _ = c.Write(append(all, " read"...))
	}))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(client, "client first")
	_ = client.CloseWrite()
	if got, err := io.ReadAll(reader); err != nil || string(got) != "client first read" {
		t.Errorf("%q, %v", got, err)
	}

	got := make(chan string, 1)
	client, reader, err = p.tunnel(machinetest.Target(t, func(c *net.TCPConn) {
		_, _ = c.Write([]byte("target first"))
		_ = c.CloseWrite()
		all, _ := io.ReadAll(c)
		got <- string(all)
	}))
	if err != nil {
		t.Fatal(err)
	}
	if first, err := io.ReadAll(reader); err != nil || string(first) != "target first" {
		t.Errorf("%q, %v", first, err)
	}
	fmt.Fprint(client, "late")
	_ = client.CloseWrite()
	if all := <-got; all != "late" {
		t.Errorf("the target read %q behind its own end", all)
	}
}

// TestHAProxyPlainHTTP: the proxy gets the URL in full.
func TestHAProxyPlainHTTP(t *testing.T) {
	t.Parallel()
	authority := machinetest.NewAuthority(t)
	p := startPod(t, authority, startHAProxy(t, authority).Machine)
	connection, err := net.Dial("tcp", p.address) //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	fmt.Fprint(connection, "GET http://a.example/path HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(connection), nil) //nolint:bodyclose // the connection is closed
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "http://a.example/path" {
		t.Errorf("%s: %q, %v", response.Status, body, err)
	}
}

// TestHAProxyEndsUnderLoad: of two machines, the one in use is killed, or hangs. At
// most 1 % of new connections fail, and none after 2 s.
func TestHAProxyEndsUnderLoad(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "hangs": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			authority := machinetest.NewAuthority(t)
			one, two := startHAProxy(t, authority), startHAProxy(t, authority)
			p := startPod(t, authority, one.Machine, two.Machine)
			echo := machinetest.Target(t, machinetest.Echo)
			count, failed := p.load(t, echo, func() time.Time {
				used := one
				if two.requests.Load() > 0 {
					used = two
				}
				_ = used.process.Process.Signal(signal)
				return time.Now()
			})
			t.Logf("%d of %d connections failed: %v", len(failed), count, failed)
			if len(failed)*100 > count {
				t.Error("more than 1 %")
			}
			for since, err := range failed {
				if since > 2*time.Second {
					t.Errorf("%s after it: %v", since, err)
				}
			}
			if one.requests.Load() == 0 || two.requests.Load() == 0 {
				t.Error("a machine got no request")
			}
		})
	}
}

// TestHAProxyRotation: certificates are exchanged, and HAProxy is reloaded, without a
// failed connection.
func TestHAProxyRotation(t *testing.T) {
	for name, event := range map[string]func(*testing.T, *pod, *haproxy){
		"certificates": func(t *testing.T, p *pod, _ *haproxy) { p.rotate(t) },
		"reload":       func(t *testing.T, _ *pod, h *haproxy) { h.reload(t) },
	} {
		t.Run(name, func(t *testing.T) {
			authority := machinetest.NewAuthority(t)
			h := startHAProxy(t, authority)
			p := startPod(t, authority, h.Machine)
			echo := machinetest.Target(t, machinetest.Echo)
			connection, reader, err := p.tunnel(echo)
			if err != nil {
				t.Fatal(err)
			}
			count, failed := p.load(t, echo, func() (none time.Time) {
				for range 5 {
					event(t, p, h)
					time.Sleep(500 * time.Millisecond)
				}
				return none
			})
			t.Logf("%d of %d connections failed", len(failed), count)
			if len(failed) > 0 {
				t.Error(failed)
			}
			fmt.Fprint(connection, "x")
			if _, err := reader.ReadByte(); err != nil {
				t.Errorf("the tunnel of before: %v", err)
			}
		})
	}
}
