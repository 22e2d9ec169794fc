package squid

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// TestForeignHeadersDoNotLeave: headers of the proxy and of other proxies, in a
// request of a client, do not reach the origin. Its own headers do.
func TestForeignHeadersDoNotLeave(t *testing.T) {
	proxy := liveProxy(t)
	received := make(chan http.Header, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { received <- r.Header }))
	t.Cleanup(server.Close)
	port := server.Listener.Addr().(*net.TCPAddr).Port
	tenant := withAllow("client-a", 3129, &v1alpha1.AllowSpec{Domains: []string{"listed.test"}, Ports: []int32{int32(port)}})
	file := withHosts(t, proxy, []v1alpha1.Tenant{tenant}, "127.0.0.1", []string{"listed.test"})
	startFile(t, proxy, replaceOnce(t, file, "acl forbidden_destination dst 127.0.0.0/8\n", "acl forbidden_destination dst 127.0.0.0/32\n"))

	connection, err := connectTo(t.Context(), proxy, tenant)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	foreign := []string{"Via", strings.ToLower(names.HeaderRevision), names.HeaderTenant, "X-Forwarded-For", "Proxy-Authorization"}
	fmt.Fprintf(connection, "GET http://listed.test:%d/ HTTP/1.1\r\nHost: listed.test\r\nConnection: close\r\nX-Own: kept\r\n", port)
	for _, name := range foreign {
		fmt.Fprintf(connection, "%s: 1.1 forged\r\n", name)
	}
	fmt.Fprint(connection, "\r\n")
	_, _ = io.Copy(io.Discard, connection)
	select {
	case header := <-received:
		for _, name := range foreign {
			if values := header.Values(name); len(values) > 0 {
				t.Errorf("%s: the origin receives %q", name, values)
			}
		}
		if header.Get("X-Own") != "kept" {
			t.Errorf("a header of the client's own is missing: %v", header)
		}
	case <-time.After(time.Minute):
		t.Fatal("the origin has received no request")
	}
}

// TestTraceIsDenied: Squid itself answers no TRACE, which returns the request.
func TestTraceIsDenied(t *testing.T) {
	proxy := liveProxy(t)
	startRendered(t, proxy, []v1alpha1.Tenant{newTenant("client-a", 3129)})
	listener := netip.AddrPortFrom(proxy.ListenAddress, 3129)
	requests := []string{"TRACE http://" + allowed + "/", "trace http://" + allowed + "/", "TRACE http://" + allowed + "/ HTTP/1.1\r\nMax-Forwards: 0\r\nX-Rest:"}
	for _, request := range requests {
		if status, _ := ask(t, proxy.ListenAddress, listener, request); status != http.StatusForbidden {
			t.Errorf("%q: status %d, want 403", request, status)
		}
	}
	for i, record := range readAudit(t, proxy.AuditLog, len(requests)) {
		if record.Verdict != policy.VerdictDenied || record.Rule != policy.RuleProtocol {
			t.Errorf("%q: %+v", requests[i], record)
		}
	}
}

// TestNoReverseLookups: Squid does not ask name servers for the names of its clients,
// whose addresses are private. By default it does, with every connection.
func TestNoReverseLookups(t *testing.T) {
	proxy := liveProxy(t)
	startRendered(t, proxy, []v1alpha1.Tenant{newTenant("client-a", 3129)})
	if status, _ := ask(t, proxy.ListenAddress, netip.AddrPortFrom(proxy.ListenAddress, 3129), "GET http://"+allowed+"/"); status != http.StatusServiceUnavailable {
		t.Fatalf("status %d, want 503", status)
	}
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	page := string(exchange(t, loopback, netip.AddrPortFrom(loopback, proxy.StatusPort), "GET /squid-internal-mgr/fqdncache"))
	if !strings.Contains(page, "FQDNcache Requests: 0\n") {
		t.Errorf("lookups of names of addresses:\n%s", page)
	}
}
