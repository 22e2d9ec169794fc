package squid

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"egress.scw/webhook/api/v1alpha1"
)

// The bandwidth limit of these tests, and the size of the answer that they
// fetch.
const (
	boundedKiB = 64
	fetched    = 192 << 10
)

// leastDelay is the minimum duration of that transfer, with a limit in KiB a
// second. The data of one second may arrive at once.
func leastDelay(bound int32) time.Duration {
	return time.Duration(fetched/1024/bound-1) * time.Second
}

// TestBandwidth: the transfers of a tenant with a bandwidth limit are delayed,
// in plain HTTP as in a tunnel. A simultaneous transfer of the same data by a
// tenant without a limit is not delayed.
func TestBandwidth(t *testing.T) {
	proxy, tenants := boundedTenants(t)
	replaceable(t, proxy, tenants)
	target := startLargeOrigin(t)
	for _, method := range []string{http.MethodGet, http.MethodConnect} {
		delayed := true
		for attempt := 0; delayed && attempt < 5; attempt++ { // a busy machine may delay a transfer without a bound
			slow := make(chan error, 1)
			start := time.Now()
			go func() { slow <- fetch(proxy, tenants[0], method, target) }()
			if err := fetch(proxy, tenants[1], method, target); err != nil {
				t.Errorf("%s: %v", method, err)
			}
			delayed = time.Since(start) >= leastDelay(boundedKiB)
			err := <-slow
			if took := time.Since(start); err != nil || took < leastDelay(boundedKiB) {
				t.Errorf("%s: %d KiB in %s, %v; at %d KiB a second that takes %s at least", method, fetched>>10, took, err, boundedKiB, leastDelay(boundedKiB))
			}
		}
		if delayed {
			t.Errorf("%s: the tenant without a bound is delayed like the one with it", method)
		}
	}
}

// TestBandwidthChanges: a new configuration with another limit, or without one,
// does not break off delayed transfers. It applies to tunnels opened afterwards.
func TestBandwidthChanges(t *testing.T) {
	const half = boundedKiB / 2
	proxy, tenants := boundedTenants(t)
	replace := replaceable(t, proxy, tenants)
	target := startLargeOrigin(t)
	change := func(bound int32) (took time.Duration) {
		t.Helper()
		before := tenants[0].Proxy.BandwidthKiB
		for range 5 {
			slow, opened := make(chan error, 1), make(chan struct{})
			go func() { slow <- fetchThrough(proxy, tenants[0], http.MethodConnect, target, func() { close(opened) }) }()
			select {
			case <-opened: // its end is seconds away
			case err := <-slow:
				t.Fatal(err)
			}
			tenants[0].Proxy.BandwidthKiB = bound
			replace(tenants)
			select {
			case err := <-slow:
				t.Logf("the tunnel has ended before the new configuration was read, on a busy machine: %v", err)
				tenants[0].Proxy.BandwidthKiB = before
				replace(tenants)
				continue
			default:
			}
			start := time.Now()
			if err := fetch(proxy, tenants[0], http.MethodConnect, target); err != nil {
				t.Errorf("a new tunnel with %d: %v", bound, err)
			}
			took = time.Since(start)
			if err := <-slow; err != nil {
				t.Errorf("from then on with %d: %v", bound, err)
			}
			return took
		}
		t.Fatal("each tunnel has ended before the new configuration was read")
		return 0
	}
	if took := change(half); took < leastDelay(half) {
		t.Errorf("a new tunnel with half the bound takes %s, and should %s at least", took, leastDelay(half))
	}
	if took := change(0); took >= leastDelay(half) {
		t.Errorf("a new tunnel without a bound takes %s", took)
	}
}

func boundedTenants(t *testing.T) (Config, []v1alpha1.Tenant) {
	t.Helper()
	tenants := []v1alpha1.Tenant{newTenant("client-a", 3129), newTenant("client-b", 3130)}
	tenants[0].Proxy.BandwidthKiB = boundedKiB
	return liveProxy(t), tenants
}

// replaceable runs Squid with access to an origin on loopback. It returns a
// function that replaces the configuration, and that returns once Squid has read
// the new one.
func replaceable(t *testing.T, proxy Config, tenants []v1alpha1.Tenant) func([]v1alpha1.Tenant) {
	t.Helper()
	name := filepath.Join(filepath.Dir(proxy.AuditLog), "rendered.conf")
	write := func(tenants []v1alpha1.Tenant) {
		t.Helper()
		file, err := Render(proxy, tenants)
		if err != nil {
			t.Fatal(err)
		}
		file = regexp.MustCompile(`(?m)^http_access deny (.* )?(forbidden_address|forbidden_destination|unlisted_port) .*\n`).ReplaceAll(file, nil)
		if err := os.WriteFile(name, file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(tenants)
	squid := startFile(t, proxy, []byte("include "+name+"\n"))
	read := 1
	return func(tenants []v1alpha1.Tenant) {
		t.Helper()
		write(tenants)
		if err := syscall.Kill(squid.pid, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		read++
		waitForPorts(t, proxy, read)
	}
}

// startLargeOrigin returns the host and port of an origin with large answers.
func startLargeOrigin(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(fetched))
		_, _ = w.Write(make([]byte, fetched))
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// fetch requests the origin's whole answer through the tenant's port.
func fetch(proxy Config, tenant v1alpha1.Tenant, method, target string) error {
	return fetchThrough(proxy, tenant, method, target, func() {})
}

// fetchThrough is fetch, and calls a function when the tunnel is open.
func fetchThrough(proxy Config, tenant v1alpha1.Tenant, method, target string, opened func()) error {
	listener := netip.AddrPortFrom(proxy.ListenAddress, uint16(tenant.Proxy.Port))
	dialer := net.Dialer{Timeout: 30 * time.Second, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(proxy.ListenAddress, 0))}
	connection, err := dialer.Dial("tcp", listener.String())
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	reader := bufio.NewReader(connection)
	url := "http://" + target + "/"
	if method == http.MethodConnect {
		fmt.Fprintf(connection, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target)
		response, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("CONNECT: status %d", response.StatusCode)
		}
		opened()
		url = "/"
	}
	fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", url, target)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	size, err := io.Copy(io.Discard, response.Body)
	if err != nil || size != fetched {
		return fmt.Errorf("status %d, %d bytes of %d, %w", response.StatusCode, size, fetched, err)
	}
	return nil
}
