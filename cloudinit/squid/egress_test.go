package squid

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// forged is a revision that an origin makes up.
const forged = "0000forged000000"

// origin is a web server on loopback. It keeps connections open and records
// their source addresses.
type origin struct {
	url string

	mu          sync.Mutex
	connections map[string]bool // keys are source addresses with ports
}

// startOrigin runs an origin until the test ends. It answers with the source
// address of the request. It also sends headers that an origin must not set:
// before the answer, in it, and in its trailer.
func startOrigin(t *testing.T) *origin {
	t.Helper()
	o := &origin{connections: map[string]bool{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.connections[r.RemoteAddr] = true
		o.mu.Unlock()
		w.Header()["x-egress-REVISION"] = []string{forged, forged}
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", names.HeaderRevision)
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		w.Header().Set("X-Seen", host)
		w.WriteHeader(http.StatusOK)
		fmt.Fprintln(w, "seen", host)
		w.Header().Set(names.HeaderRevision, forged)
	}))
	t.Cleanup(server.Close)
	o.url = server.URL
	return o
}

// opened returns the number of connections made to the origin.
func (o *origin) opened() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.connections)
}

// threeTenants returns a proxy and tenants. The last tenant shares the proxy's
// address.
func threeTenants(t *testing.T) (Config, []v1alpha1.Tenant) {
	t.Helper()
	proxy := liveProxy(t)
	tenants := []v1alpha1.Tenant{newTenant("client-a", 3129), newTenant("client-b", 3130), newTenant("client-c", 3131)}
	own := func(network byte) netip.Addr {
		bytes := proxy.EgressAddress.As4()
		return netip.AddrFrom4([4]byte{127, network, bytes[2], bytes[3]})
	}
	dedicate(&proxy, tenants, map[string]netip.Addr{"client-a": own(78), "client-b": own(79)})
	return proxy, tenants
}

// startWithOrigin runs Squid, and an origin reachable by the tenants. The origin
// is on loopback, on an arbitrary port. The rules against both are removed from
// the file.
func startWithOrigin(t *testing.T, proxy Config, tenants []v1alpha1.Tenant) *origin {
	t.Helper()
	file, err := Render(proxy, tenants)
	if err != nil {
		t.Fatal(err)
	}
	return startOriginAndFile(t, proxy, file)
}

// startOriginAndFile is startWithOrigin for an already rendered file.
func startOriginAndFile(t *testing.T, proxy Config, file []byte) *origin {
	t.Helper()
	rules := regexp.MustCompile(`(?m)^http_access (allow|deny) (.* )?(forbidden_address|forbidden_destination|unlisted_port) .*\n`)
	if !rules.Match(file) {
		t.Fatal("the file has no such rules")
	}
	file = rules.ReplaceAll(file, nil)
	o := startOrigin(t)
	startFile(t, proxy, file)
	return o
}

func egressOf(proxy Config, tenant v1alpha1.Tenant) netip.Addr {
	if own, ok := proxy.DedicatedAddresses[tenant.Name]; ok {
		return own
	}
	return proxy.EgressAddress
}

// TestTenantsLeaveByTheirOwnAddress also covers connections to the origin that
// Squid keeps and reuses. According to its manual, Squid may reuse one tenant's
// connection for another tenant with another address; it does not.
func TestTenantsLeaveByTheirOwnAddress(t *testing.T) {
	proxy, tenants := threeTenants(t)
	o := startWithOrigin(t, proxy, tenants)
	check := func(tenant v1alpha1.Tenant) {
		listener := netip.AddrPortFrom(proxy.ListenAddress, uint16(tenant.Proxy.Port))
		answer := string(exchange(t, proxy.ListenAddress, listener, "GET "+o.url+"/"))
		if want := "seen " + egressOf(proxy, tenant).String() + "\n"; !strings.Contains(answer, want) {
			t.Errorf("%s: want %q in %q", tenant.Name, want, answer)
		}
	}
	const rounds = 50
	for range rounds {
		for _, tenant := range tenants {
			check(tenant)
		}
	}
	if opened := o.opened(); opened > rounds {
		t.Errorf("%d connections for %d requests one after the other: too few are used again for a test", opened, rounds*len(tenants))
	}
	var workers sync.WaitGroup
	for range 4 {
		for _, tenant := range tenants {
			workers.Go(func() {
				for range rounds {
					check(tenant)
				}
			})
		}
	}
	workers.Wait()

	records := readAudit(t, proxy.AuditLog, rounds*len(tenants)*5)
	addresses := map[string]string{}
	for _, tenant := range tenants {
		addresses[tenant.Name] = egressOf(proxy, tenant).String()
	}
	for i, record := range records {
		if want := addresses[record.Tenant]; record.Egress != want {
			t.Errorf("line %d of the audit log: %s left by %s, want %s", i+1, record.Tenant, record.Egress, want)
		}
	}
}

// TestNoAddressNoWayOut: a tenant whose address the machine does not have does
// not leave by another address.
func TestNoAddressNoWayOut(t *testing.T) {
	proxy := liveProxy(t)
	tenants := []v1alpha1.Tenant{newTenant("client-a", 3129)}
	// The address is in a documentation range, so it is not assigned to any
	// machine.
	dedicate(&proxy, tenants, map[string]netip.Addr{"client-a": netip.MustParseAddr("198.51.100.77")})
	o := startWithOrigin(t, proxy, tenants)
	listener := netip.AddrPortFrom(proxy.ListenAddress, 3129)
	if status, _ := ask(t, proxy.ListenAddress, listener, "GET "+o.url+"/"); status != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 503", status)
	}
	if opened := o.opened(); opened > 0 {
		t.Errorf("%d connections to the origin", opened)
	}
}

// TestIPv6HasNoWayOut: the proxy has IPv4 addresses only. A request to an address of
// IPv6 is answered with an error at once.
func TestIPv6HasNoWayOut(t *testing.T) {
	proxy := liveProxy(t)
	startWithOrigin(t, proxy, []v1alpha1.Tenant{newTenant("client-a", 3129)})
	listener := netip.AddrPortFrom(proxy.ListenAddress, 3129)
	// Both are in documentation ranges, so they are not assigned to any machine.
	for _, target := range []string{"[2001:db8::1]", "[3fff::1]"} {
		if status, _ := ask(t, proxy.ListenAddress, listener, "GET http://"+target+"/"); status != http.StatusServiceUnavailable {
			t.Errorf("%s: status %d, want 503", target, status)
		}
	}
}

// TestPortsTellTheirTenantsRevision: the revision is on denials, on Squid's own
// answers and on the answers of origins. Origins cannot forge it.
func TestPortsTellTheirTenantsRevision(t *testing.T) {
	proxy, tenants := threeTenants(t)
	o := startWithOrigin(t, proxy, tenants)
	seen := map[string]bool{}
	for _, tenant := range tenants {
		seen[tenant.Revision()] = true
		listener := netip.AddrPortFrom(proxy.ListenAddress, uint16(tenant.Proxy.Port))
		for request, want := range map[string]struct {
			status int
			told   bool
		}{
			"CONNECT 10.0.0.1:25":           {http.StatusForbidden, true},
			"GET ftp://" + allowed + "/":    {http.StatusForbidden, true},
			"GET http://" + allowed + "/":   {http.StatusServiceUnavailable, true},
			"TRACE http://" + allowed + "/": {http.StatusForbidden, true},
			// Limits: a request that does not reach the rules, and the answer to a
			// CONNECT that the rules allow.
			"GET /":                       {http.StatusBadRequest, false},
			"CONNECT " + allowed + ":443": {http.StatusServiceUnavailable, false},
		} {
			status, header := ask(t, proxy.ListenAddress, listener, request)
			if status != want.status {
				t.Errorf("%s, %s: status %d, want %d", tenant.Name, request, status, want.status)
			}
			if want.told {
				requireRevision(t, tenant, request, header)
			} else if got := header.Values(names.HeaderRevision); len(got) > 0 {
				t.Errorf("%s, %s: tells revision %q", tenant.Name, request, got)
			}
		}
		answer := string(exchange(t, proxy.ListenAddress, listener, "GET "+o.url+"/"))
		if strings.Contains(answer, forged) {
			t.Errorf("%s: what the origin made up comes through:\n%s", tenant.Name, answer)
		}
		if want := names.HeaderRevision + ": " + tenant.Revision() + "\r\n"; !strings.Contains(answer, want) {
			t.Errorf("%s: no %q in the answer of an origin:\n%s", tenant.Name, want, answer)
		}
	}
	if len(seen) != len(tenants) {
		t.Errorf("%d tenants have %d revisions", len(tenants), len(seen))
	}
}

// TestDenialsTellTheRevision: in every mode, the denial of a plain HTTP request
// for a forbidden address has the revision. The webhook has to send such a
// request. The denial of a CONNECT has it only for a tenant without a list. On a
// port with inspected tunnels, Squid denies a CONNECT either within TLS
// (http_access) or itself, without its rules for headers (miss_access).
func TestDenialsTellTheRevision(t *testing.T) {
	proxy := liveProxy(t)
	tenants := []v1alpha1.Tenant{
		newTenant("no-list", 3129),
		withAllow("enforced", 3130, &v1alpha1.AllowSpec{Domains: []string{"example.com"}}),
		withAllow("reported", 3131, &v1alpha1.AllowSpec{Mode: policy.ModeReport}),
		withAllow("open", 3132, &v1alpha1.AllowSpec{Mode: policy.ModeOpen}),
	}
	startRendered(t, proxy, tenants)
	for _, tenant := range tenants {
		listener := netip.AddrPortFrom(proxy.ListenAddress, uint16(tenant.Proxy.Port))
		for _, request := range []string{"GET http://10.0.0.1/", "CONNECT 10.0.0.1:443"} {
			status, header := ask(t, proxy.ListenAddress, listener, request)
			if status != http.StatusForbidden {
				t.Errorf("%s, %s: status %d, want 403", tenant.Name, request, status)
			}
			if strings.HasPrefix(request, "GET") || !isPeeked(tenant) {
				requireRevision(t, tenant, request, header)
			} else if got := header.Values(names.HeaderRevision); len(got) > 0 {
				t.Errorf("%s, %s: tells revision %q, which nobody relies on", tenant.Name, request, got)
			}
		}
	}
}

func requireRevision(t *testing.T, tenant v1alpha1.Tenant, request string, header http.Header) {
	t.Helper()
	if got := header.Values(names.HeaderRevision); len(got) != 1 || got[0] != tenant.Revision() {
		t.Errorf("%s, %s: revision %q, want %q once", tenant.Name, request, got, tenant.Revision())
	}
}
