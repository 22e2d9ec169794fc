package squid

import (
	"net/http"
	"net/netip"
	"testing"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// TestProbe: in every mode, the answer to a probe contains the tenant and its Revision.
// It is not in the audit log, while all other requests of that host are.
func TestProbe(t *testing.T) {
	proxy := liveProxy(t)
	tenants := []v1alpha1.Tenant{newTenant("client-a", 3129), newTenant("client-b", 3130), newTenant("client-c", 3131), newTenant("client-d", 3132)}
	for i, mode := range []policy.Mode{policy.ModeOpen, policy.ModeReport, policy.ModeEnforce} {
		tenants[i].Allow = &v1alpha1.AllowSpec{Mode: mode}
		if mode != policy.ModeOpen {
			tenants[i].Allow.Domains = []string{"listed.example"}
		}
	}
	startRendered(t, proxy, tenants)
	others := []string{
		"POST " + names.ProbeURL, "GET " + names.ProbeURL + "?a", "GET http://0.0.0.0/", "GET http://0.0.0.0:443/egress-probe",
		"GET http://0/egress-probe", "GET http://00.0.0.0/egress-probe", "CONNECT 0.0.0.0:443", "GET http://192.0.2.10/http://0.0.0.0/egress-probe",
	}
	for _, tenant := range tenants {
		listener := netip.AddrPortFrom(proxy.ListenAddress, uint16(tenant.Proxy.Port))
		status, header := ask(t, proxy.ListenAddress, listener, "GET "+names.ProbeURL)
		if got, want := header.Get(names.HeaderTenant), tenant.Name; status != http.StatusForbidden || got != want {
			t.Errorf("%s: status %d of tenant %q, want 403 of %q", tenant.Name, status, got, want)
		}
		if got, want := header.Get(names.HeaderRevision), tenant.Revision(); got != want {
			t.Errorf("%s: revision %q, want %q", tenant.Name, got, want)
		}
		for _, request := range others {
			if _, header := ask(t, proxy.ListenAddress, listener, request); header.Get(names.HeaderTenant) != "" {
				t.Errorf("%s, %s: the answer contains the tenant", tenant.Name, request)
			}
		}
	}
	records := readAudit(t, proxy.AuditLog, len(tenants)*len(others))
	for i, record := range records {
		if want := tenants[i/len(others)].Name; record.Tenant != want {
			t.Errorf("line %d: tenant %s, want %s", i+1, record.Tenant, want)
		}
	}
}
