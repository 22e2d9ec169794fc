package squid

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/api/v1alpha1"
)

// allowed is a destination that every tenant may request. It is in a
// documentation range, and Squid leaves by a loopback address in these tests.
// The connection fails, but the status (503) shows that the rules allowed the
// request.
const allowed = "192.0.2.10"

// TestForbiddenDestinations requests forbidden destinations from a running
// Squid, in all possible spellings, on the ports of two tenants.
func TestForbiddenDestinations(t *testing.T) {
	proxy := liveProxy(t)
	tenants := []v1alpha1.Tenant{newTenant("client-a", 3129), newTenant(strings.Repeat("b", 63), 3130)}
	startRendered(t, proxy, tenants)

	type request struct {
		method, target string
		status         int
		host, hostPort string // in the audit log; checked if not empty
	}
	requests := []request{
		{"GET", "http://" + allowed + "/", http.StatusServiceUnavailable, allowed, "80"},
		{"GET", "http://" + allowed + ":443/", http.StatusServiceUnavailable, allowed, "443"},
		{"CONNECT", allowed + ":443", http.StatusServiceUnavailable, allowed, "443"},
		{"CONNECT", allowed + ":80", http.StatusServiceUnavailable, allowed, "80"},

		{"GET", "http://" + allowed + ":22/", http.StatusForbidden, allowed, "22"},
		{"GET", "http://" + allowed + ":8080/", http.StatusForbidden, "", ""},
		{"CONNECT", allowed + ":22", http.StatusForbidden, allowed, "22"},
		{"CONNECT", allowed + ":8080", http.StatusForbidden, "", ""},
		{"GET", "https://" + allowed + "/", http.StatusForbidden, "", ""},
		{"GET", "ftp://" + allowed + "/", http.StatusForbidden, "", ""},
		{"GET", "ftp://" + allowed + ":80/", http.StatusForbidden, "", ""},
		{"PURGE", "http://" + allowed + "/", http.StatusForbidden, "", ""},
		{"TRACE", "http://" + allowed + "/", http.StatusForbidden, "", ""},
		{"GET", "cache_object://" + allowed + "/info", http.StatusForbidden, "", ""},
		{"GET", "http://egress-proxy/squid-internal-mgr/info", http.StatusForbidden, "", ""},
		{"GET", fmt.Sprintf("http://127.0.0.1:%d/squid-internal-mgr/info", proxy.StatusPort), http.StatusForbidden, "", ""},
		{"GET", "/squid-internal-mgr/info", http.StatusForbidden, "", ""},
		// For any client input, the line stays one JSON object.
		{"GET", `http://10.0.0.1/"},{"tenant":"client-z`, http.StatusForbidden, "10.0.0.1", "80"},
		{"GET", `http://a"},{"tenant"\z:22/`, http.StatusForbidden, "a%22%7D,%7B%22tenant%22%5Cz", "22"},
		// The rules judge the destination that Squid would connect to.
		{"GET", "http://user@10.0.0.1/", http.StatusForbidden, "10.0.0.1", "80"},
		{"GET", "http://" + allowed + ":80@127.0.0.1/", http.StatusForbidden, "127.0.0.1", "80"},
		{"GET", "http://" + allowed + ":80@" + allowed + ":22/", http.StatusForbidden, allowed, "22"},
		{"CONNECT", allowed + ":22:443", http.StatusForbidden, allowed, "22"},
	}
	for _, host := range forbiddenHosts() {
		requests = append(requests,
			request{"GET", "http://" + host + "/", http.StatusForbidden, "", ""},
			request{"CONNECT", host + ":80", http.StatusForbidden, "", ""},
			request{"CONNECT", host + ":443", http.StatusForbidden, "", ""})
	}

	type line struct{ tenant, port, method, host, hostPort, result string }
	var want []line
	for _, tenant := range tenants {
		listener := netip.AddrPortFrom(proxy.ListenAddress, uint16(tenant.Proxy.Port))
		for _, r := range requests {
			status, header := ask(t, proxy.ListenAddress, listener, r.method+" "+r.target)
			if status != r.status {
				t.Errorf("%s, %s %s: status %d, want %d", tenant.Name, r.method, r.target, status, r.status)
			}
			result := "denied"
			if r.status == http.StatusServiceUnavailable {
				result = "forwarded"
			} else if page := header.Get("X-Squid-Error"); page != "ERR_ACCESS_DENIED 0" {
				t.Errorf("%s, %s %s: denied with %q, so for another reason", tenant.Name, r.method, r.target, page)
			}
			if server := header.Get("Server"); server != "squid" {
				t.Errorf("Server: %q, which tells more than it must", server)
			}
			want = append(want, line{tenant.Name, fmt.Sprint(tenant.Proxy.Port), r.method, r.host, r.hostPort, result})
		}
	}

	records := readAudit(t, proxy.AuditLog, len(want))
	for i, record := range records {
		got := line{record.Tenant, record.Port, record.Method, record.Host, record.HostPort, "forwarded"}
		if strings.HasPrefix(record.Result, "TCP_DENIED/") {
			got.result = "denied"
		}
		if want[i].host == "" {
			got.host, got.hostPort = "", ""
		}
		if diff := cmp.Diff(want[i], got, cmp.AllowUnexported(line{})); diff != "" {
			t.Fatalf("line %d of the audit log, -want +got:\n%s", i+1, diff)
		}
		if _, err := time.Parse(time.RFC3339, record.Time); err != nil {
			t.Error(err)
		}
		if record.Client != proxy.ListenAddress.String() || record.BytesReceived == 0 || record.Status == 0 {
			t.Errorf("line %d: not filled in: %+v", i+1, record)
		}
		if got.result == "forwarded" && record.Egress != proxy.EgressAddress.String() {
			t.Errorf("line %d: left by %s, want %s", i+1, record.Egress, proxy.EgressAddress)
		}
	}
}

// forbiddenHosts are private addresses, loopback addresses and addresses of
// metadata services, in the spellings of an attacker.
func forbiddenHosts() []string {
	return strings.Fields(`
		10.0.0.1 172.16.28.8 192.168.1.1 100.64.0.1 127.0.0.1 0.0.0.0 169.254.42.42 169.254.169.254 192.0.0.1 198.18.0.1 224.0.0.1 255.255.255.255
		127.1 10.1 192.168.1 0 127.0.0.1.
		2130706433 167772161 2852006442
		0x7f000001 0x7f.0.0.1 0x7f.1 0xa9fe2a2a 0xA9.0xFE.0x2A.0x2A
		0177.0.0.1 017700000001 0251.0376.0052.0052 00.0.0.1
		[::] [::1] [0:0:0:0:0:0:0:1] [::127.0.0.1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:a9fe:2a2a] [::FFFF:10.0.0.1] [0:0:0:0:0:ffff:a00:1]
		[10.0.0.1] [127.1]
		[64:ff9b::a00:1] [64:ff9b:1::a00:1] [2002:7f00:1::] [2001:0:a00:1::1] [100::1]
		[fd00::1] [fd5f:519c:6d46::8] [fe80::1] [fec0::1] [ff02::1]`)
}

// TestClientsAndManager sends requests from an address outside the client
// networks, and requests for the manager's statistics.
func TestClientsAndManager(t *testing.T) {
	proxy := liveProxy(t)
	startRendered(t, proxy, []v1alpha1.Tenant{newTenant("client-a", 3129)})
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	manager := netip.AddrPortFrom(loopback, proxy.StatusPort)
	listener := netip.AddrPortFrom(proxy.ListenAddress, 3129)

	cases := []struct {
		name, request string
		from          netip.Addr
		to            netip.AddrPort
		status        int
	}{
		{"a client", "GET http://" + allowed + "/", proxy.ListenAddress, listener, http.StatusServiceUnavailable},
		{"no client", "GET http://" + allowed + "/", loopback, listener, http.StatusForbidden},
		{"statistics", "GET /squid-internal-mgr/info", loopback, manager, http.StatusOK},
		{"statistics on a tenant's port", "GET /squid-internal-mgr/info", loopback, listener, http.StatusForbidden},
		{"a request on the manager's port", "GET http://" + allowed + "/", loopback, manager, http.StatusForbidden},
		{"a client on the manager's port", "GET /squid-internal-mgr/info", proxy.ListenAddress, manager, http.StatusForbidden},
	}
	for _, test := range cases {
		if status, _ := ask(t, test.from, test.to, test.request); status != test.status {
			t.Errorf("%s: status %d, want %d", test.name, status, test.status)
		}
	}
}

// Squid listens on every port of the tenants' range at once. It accepts 128
// ports, the manager's included, and ignores any further port, of which it warns in
// cache.log only.
func TestSquidServesTheWholeRange(t *testing.T) {
	proxy := liveProxy(t)
	tenants := everyPort()
	startRendered(t, proxy, tenants)
	for _, tenant := range tenants {
		listener := netip.AddrPortFrom(proxy.ListenAddress, uint16(tenant.Proxy.Port))
		if status, _ := ask(t, proxy.ListenAddress, listener, "GET http://10.0.0.1/"); status != http.StatusForbidden {
			t.Errorf("port %d: status %d, want 403", tenant.Proxy.Port, status)
		}
	}
	for i, record := range readAudit(t, proxy.AuditLog, len(tenants)) {
		if record.Tenant != tenants[i].Name {
			t.Errorf("line %d: tenant %s, want %s", i+1, record.Tenant, tenants[i].Name)
		}
	}
}

// liveProxy returns a proxy on a loopback address of its own, with its files in
// a folder of the test. Destinations outside loopback are unreachable from that
// address.
func liveProxy(t testing.TB) Config {
	t.Helper()
	// Squid started as root changes to another user and writes here as that user.
	// The user may not enter the parent folder of t.TempDir. "make clean" finds the
	// folder by this name if the test was killed before its cleanup.
	folder, err := os.MkdirTemp("", "egress-test-squid-") //nolint:usetesting // for the reason above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	address := netip.AddrFrom4([4]byte{127, 77, byte(rand.IntN(256)), byte(1 + rand.IntN(254))})
	return Config{
		ListenAddress:  address,
		StatusPort:     freeStatusPort(t),
		ClientNetworks: []netip.Prefix{netip.PrefixFrom(address, 32)},
		EgressAddress:  address,
		NameServers:    []netip.Addr{address},
		Certificate:    writeCertificate(t, folder),
		ErrorPages:     writeErrorPages(t, folder),
		AuditLog:       filepath.Join(folder, "audit.log"),
		AuditWriter:    copyAuditWriter(t, folder),
		CacheLog:       filepath.Join(folder, "cache.log"),
		PIDFile:        filepath.Join(folder, "squid.pid"),
	}
}

// freeStatusPort returns a port on which no program listens, on any address. Tests of other
// packages run at the same time: the port is below those that the kernel gives to connections
// (net.ipv4.ip_local_port_range), above those of the sidecar's tests, and below those of the
// local clusters.
func freeStatusPort(t testing.TB) uint16 {
	t.Helper()
	const attempts = 1000
	for range attempts {
		port := uint16(15_000 + rand.IntN(5_000))
		if listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprintf(":%d", port)); err == nil {
			_ = listener.Close()
			return port
		}
	}
	t.Fatalf("no port was free in %d attempts", attempts)
	return 0
}

// startRendered runs Squid until the test ends. It returns once Squid listens on
// all of its ports.
func startRendered(t testing.TB, proxy Config, tenants []v1alpha1.Tenant) squidProcess {
	t.Helper()
	file, err := Render(proxy, tenants)
	if err != nil {
		t.Fatal(err)
	}
	return startFile(t, proxy, file)
}

// startFile is startRendered for an already rendered file.
func startFile(t testing.TB, proxy Config, file []byte) squidProcess {
	t.Helper()
	process := startSquid(t, filepath.Dir(proxy.CacheLog), file)
	waitForPorts(t, proxy, 1)
	return process
}

// waitForPorts returns once Squid has logged this many times that it listens on
// the manager's port, and the port accepts connections. The listener is then
// this Squid and not another process. Squid opens its ports in the order of the
// file, and the manager's port is the last.
func waitForPorts(t testing.TB, proxy Config, times int) {
	t.Helper()
	manager := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), proxy.StatusPort)
	mine := regexp.MustCompile(fmt.Sprintf(`Accepting (reverse-proxy )?HTTP Socket connections at .*local=(0\.0\.0\.0|127\.0\.0\.1):%d `, proxy.StatusPort))
	dialer := net.Dialer{Timeout: 30 * time.Second}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		messages, err := os.ReadFile(proxy.CacheLog) // exists once Squid has started
		if len(mine.FindAll(messages, -1)) >= times {
			var connection net.Conn
			if connection, err = dialer.DialContext(t.Context(), "tcp", manager.String()); err == nil {
				connection.Close()
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("squid does not listen on %s: %v\n%s", manager, err, messages)
		}
	}
}

// ask sends a request line from an address to a port of Squid. It returns the
// status and the header of the answer.
func ask(t *testing.T, from netip.Addr, to netip.AddrPort, line string) (int, http.Header) {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(exchange(t, from, to, line))), nil)
	if err != nil {
		t.Errorf("%s: %v", line, err)
		return 0, nil
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%s: %v", line, err)
	}
	return response.StatusCode, response.Header
}

// exchange sends a request line from an address to a port of Squid. It returns
// the complete answer.
func exchange(t *testing.T, from netip.Addr, to netip.AddrPort, line string) []byte {
	t.Helper()
	dialer := net.Dialer{Timeout: 30 * time.Second, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	connection, err := dialer.DialContext(t.Context(), "tcp", to.String())
	if err != nil {
		t.Errorf("%s: %v", line, err)
		return nil
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Error(err)
	}
	if _, err := fmt.Fprintf(connection, "%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", line, to); err != nil {
		t.Errorf("%s: %v", line, err)
	}
	answer, err := io.ReadAll(connection)
	if err != nil {
		t.Errorf("%s: %v", line, err)
	}
	return answer
}

// readAudit returns the request lines of the audit log, once there are as many
// as expected. It omits the lines of connections that end without a whole
// request, because these have no answer.
func readAudit(t testing.TB, file string, count int) []AuditRecord {
	t.Helper()
	return readLines(t, file, count, func(record AuditRecord) bool { return record.Status != 0 })
}

// readLines returns the lines of the audit log that a test reads, once there are as
// many as expected.
func readLines(t testing.TB, file string, count int, isRead func(AuditRecord) bool) []AuditRecord {
	t.Helper()
	var records []AuditRecord
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		text, err := os.ReadFile(file) // exists once Squid's helper has started
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		records = nil
		for line := range bytes.Lines(text) {
			if !bytes.HasSuffix(line, []byte("\n")) {
				break // still being written
			}
			var record AuditRecord
			decoder := json.NewDecoder(bytes.NewReader(line))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&record); err != nil {
				t.Fatalf("not a record: %v: %s", err, line)
			}
			if isRead(record) {
				records = append(records, record)
			}
		}
		if len(records) == count {
			return records
		}
		if len(records) > count || time.Now().After(deadline) {
			t.Fatalf("%d lines in the audit log, want %d: %+v", len(records), count, records)
		}
	}
}
