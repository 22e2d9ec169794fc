package main

import (
	"context"
	"fmt"
	"io"
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
	"testing"
	"time"

	"egress.scw/webhook/api/sidecar"
	"egress.scw/webhook/sidecar/internal/machinetest"
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
	address := machinetest.FreeAddress(t)
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
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
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
