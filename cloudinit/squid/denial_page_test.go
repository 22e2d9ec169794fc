package squid

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// The folder of Squid's own pages on the machine, and our pages in this
// repository.
const (
	debianPages = "/usr/share/squid/errors/templates"
	denialPage  = "../rootfs/etc/squid/errors/ERR_ACCESS_DENIED"
	statusPage  = "../rootfs/etc/squid/errors/ERR_EGRESS_STATUS"
)

// writeErrorPages creates a folder of error pages as egress-setup does on the
// machine.
func writeErrorPages(t testing.TB, folder string) string {
	t.Helper()
	pages := filepath.Join(folder, "errors")
	if err := os.Mkdir(pages, 0o755); err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadDir(debianPages)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := os.ReadFile(denialPage)
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(statusPage)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pages, filepath.Base(statusPage)), status, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, page := range all {
		name := filepath.Join(pages, page.Name())
		switch page.Name() {
		case "ERR_ACCESS_DENIED", "ERR_FORWARDING_DENIED":
			err = os.WriteFile(name, ours, 0o644)
		default:
			err = os.Symlink(filepath.Join(debianPages, page.Name()), name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return pages
}

// TestDenialPage: the page of a denial names the tenant and the rule, for a
// tunnel as for another request. No part of the request becomes a part of the
// page that a browser would execute.
func TestDenialPage(t *testing.T) {
	proxy := liveProxy(t)
	enforce := withAllow("client-a", 3129, &v1alpha1.AllowSpec{Domains: []string{"listed.example"}})
	report := withAllow("client-b", 3130, &v1alpha1.AllowSpec{Mode: policy.ModeReport})
	open := newTenant("client-c", 3131)
	startRendered(t, proxy, []v1alpha1.Tenant{enforce, report, open})

	for _, test := range []struct {
		tenant  v1alpha1.Tenant
		request string
		rule    policy.Rule
	}{
		{enforce, "GET http://other.example/", policy.RuleDomain},
		{enforce, "CONNECT other.example:443", policy.RuleDomain},
		{enforce, "GET http://listed.example:8080/", policy.RulePort},
		{enforce, "CONNECT listed.example:8080", policy.RulePort},
		{enforce, "CONNECT 10.0.0.1:443", policy.RuleForbiddenDestination},
		{enforce, "GET ftp://listed.example/", policy.RuleProtocol},
		{enforce, "CONNECT listed.example:25", policy.RuleForbiddenPort},
		{report, "GET http://10.0.0.1/", policy.RuleForbiddenDestination},
		{report, "CONNECT 10.0.0.1:443", policy.RuleForbiddenDestination},
		{open, "GET http://10.0.0.1/", policy.RuleForbiddenDestination},
		{open, "CONNECT 10.0.0.1:443", policy.RuleForbiddenDestination},
		{open, "GET http://egress-proxy/squid-internal-mgr/info", policy.RuleManager},
		{enforce, "GET http://<script>alert(1)</script>/", policy.RuleDomain},
	} {
		listener := netip.AddrPortFrom(proxy.ListenAddress, uint16(test.tenant.Proxy.Port))
		page := string(exchange(t, proxy.ListenAddress, listener, test.request))
		if strings.Contains(page, "<script>") {
			t.Errorf("%s: the answer holds the script:\n%s", test.request, page)
		}
		for _, want := range []string{"Tenant " + test.tenant.Name + ":", fmt.Sprintf("the rule %q", test.rule)} {
			if !strings.HasPrefix(page, "HTTP/1.1 403 ") || !strings.Contains(page, want) {
				t.Errorf("%s, %s: want 403 and %q in\n%s", test.tenant.Name, test.request, want, page)
			}
		}
	}
}
