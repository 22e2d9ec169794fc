package squid

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// TestInternalPaths: the paths of Squid's own pages have a prefix that an origin
// may use as well. By default, Squid takes such a URL for its own, on any host. Paths
// of its statistics stay its own, and are denied.
func TestInternalPaths(t *testing.T) {
	proxy := liveProxy(t)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "reached ", r.URL.Path) }))
	t.Cleanup(origin.Close)
	port := origin.Listener.Addr().(*net.TCPAddr).Port
	tenant := withAllow("client-a", 3129, &v1alpha1.AllowSpec{Domains: []string{"listed.test"}, Ports: []int32{80, int32(port)}})
	file := withHosts(t, proxy, []v1alpha1.Tenant{tenant}, "127.0.0.1", []string{"listed.test"})
	file = replaceOnce(t, file, "acl forbidden_destination dst 127.0.0.0/8\n", "acl forbidden_destination dst 127.0.0.0/32\n")
	startFile(t, proxy, file)
	const path = "/squid-internal-static/icons/silk/page.png"
	for _, test := range []struct{ host, path, want string }{
		{"listed.test", path, "reached " + path},
		{"other.test", path, "403 Forbidden"},
		{"listed.test", "/squid-internal-mgr/info", "403 Forbidden"},
	} {
		answer := string(exchange(t, proxy.ListenAddress, netip.AddrPortFrom(proxy.ListenAddress, 3129), fmt.Sprintf("GET http://%s:%d%s", test.host, port, test.path)))
		if !strings.Contains(answer, test.want) {
			t.Errorf("%s: want %q in\n%s", test.host, test.want, answer)
		}
	}
	rules := []policy.Rule{"-", policy.RuleDomain, policy.RuleManager}
	for i, record := range readAudit(t, proxy.AuditLog, len(rules)) {
		if want := []string{"listed.test", "other.test", "listed.test"}[i]; record.Host != want || record.HostPort != fmt.Sprint(port) || record.Rule != rules[i] {
			t.Errorf("want %s:%d with the rule %s in %+v", want, port, rules[i], record)
		}
	}
}
