package squid

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/api/v1alpha1"
)

// TestRenderLeavesOutOtherPaths: tenants of path Gateway have no port, and no part
// in squid.conf.
func TestRenderLeavesOutOtherPaths(t *testing.T) {
	given := readCase(t, casesIn(t)[0])
	want, err := Render(given.Proxy, given.Tenants)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gateway-1", "gateway-2"} {
		given.Tenants = append(given.Tenants, v1alpha1.Tenant{Name: name, EgressTenantSpec: v1alpha1.EgressTenantSpec{Path: v1alpha1.PathGateway}})
	}
	got, err := Render(given.Proxy, given.Tenants)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("squid.conf (-without +with tenants of path Gateway):\n%s", diff)
	}
}
