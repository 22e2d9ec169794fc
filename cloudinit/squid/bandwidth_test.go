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
	"strings"
	"syscall"
	"testing"
	"time"

	"egress.scw/webhook/api/v1alpha1"
)

// What these tests fetch, and the bound: 4 seconds' worth, of which a second's
// may come at once.
const (
	boundedKiB = 64
	fetched    = 256 << 10
	leastDelay = (fetched/1024/boundedKiB - 1) * time.Second
)

// TestBandwidth: whose bandwidth is bounded waits for what it fetches, by plain
// HTTP as in a tunnel; who asks for the same meanwhile does not.
func TestBandwidth(t *testing.T) {
	proxy, tenants := boundedTenants(t)
	replaceable(t, proxy, tenants)
	target := startLargeOrigin(t)
	for _, method := range []string{http.MethodGet, http.MethodConnect} {
		slow := make(chan error, 1)
		start := time.Now()
		go func() { slow <- fetch(proxy, tenants[0], method, target) }()
		if err := fetch(proxy, tenants[1], method, target); err != nil {
			t.Errorf("%s: %v", method, err)
		}
		select {
		case err := <-slow:
			t.Errorf("%s: the tenant with a bound has got everything (%v) before the one without", method, err)
			continue
		default:
		}
		err := <-slow
		if took := time.Since(start); err != nil || took < leastDelay {
			t.Errorf("%s: %d KiB in %s, %v; at %d KiB a second that takes %s at least", method, fetched>>10, took, err, boundedKiB, leastDelay)
		}
	}
}

// TestBandwidthChanges: a new configuration with another bound, and one without,
// break off nothing that is being delayed.
func TestBandwidthChanges(t *testing.T) {
	proxy, tenants := boundedTenants(t)
	replace := replaceable(t, proxy, tenants)
	target := startLargeOrigin(t)
	for _, bound := range []int32{boundedKiB + 1, 0} {
		slow := make(chan error, 1)
		go func() { slow <- fetch(proxy, tenants[0], http.MethodConnect, target) }()
		time.Sleep(time.Second / 2) // The tunnel is open, and its end is seconds away.
		tenants[0].Proxy.BandwidthKiB = bound
		replace(tenants)
		if err := <-slow; err != nil {
			t.Errorf("from then on with %d: %v", bound, err)
		}
	}
}

func boundedTenants(t *testing.T) (Proxy, []v1alpha1.Tenant) {
	t.Helper()
	tenants := []v1alpha1.Tenant{newTenant("client-a", 3129), newTenant("client-b", 3130)}
	tenants[0].Proxy.BandwidthKiB = boundedKiB
	return liveProxy(t), tenants
}

// replaceable runs Squid, for an origin on loopback, and returns what gives it
// another configuration.
func replaceable(t *testing.T, proxy Proxy, tenants []v1alpha1.Tenant) func([]v1alpha1.Tenant) {
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
	startFile(t, proxy, []byte("include "+name+"\n"))
	return func(tenants []v1alpha1.Tenant) {
		t.Helper()
		write(tenants)
		text, err := os.ReadFile(proxy.PIDFile)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
}

// startLargeOrigin returns host and port of an origin of large answers.
func startLargeOrigin(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(fetched))
		_, _ = w.Write(make([]byte, fetched))
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// fetch asks the origin, through the tenant's port, for all that it has.
func fetch(proxy Proxy, tenant v1alpha1.Tenant, method, target string) error {
	listener := netip.AddrPortFrom(proxy.ListenAddress, uint16(tenant.Proxy.Port))
	dialer := net.Dialer{Timeout: 5 * time.Second, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(proxy.ListenAddress, 0))}
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
