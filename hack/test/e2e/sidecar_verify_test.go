package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"egress.scw/hack/local/environment"
	"egress.scw/hack/local/programs"
)

// verifiedNames: verify proves capture and the closed DNS server by a pod of its own, and
// names a list that the proxy does not have, and an open DNS server of the cluster.
func verifiedNames(t *testing.T) {
	t.Helper()
	binary := buildProgram(t, programs.KubectlEgress())
	tenant := byNames.name
	eventually(t, "no findings about a healthy tenant", func() (bool, string) {
		checks := verify(t, binary, tenant, tenant, "http://"+environment.IPEchoName+"/")
		passed := 0
		for _, name := range []string{"captured", "closed-dns", "outside-dns"} {
			if slices.ContainsFunc(checks, func(c check) bool { return c.Name == name && c.Outcome == "Passed" }) {
				passed++
			}
		}
		return len(failedOf(checks)) == 0 && passed == 3, fmt.Sprintf("%+v", checks)
	})
	plants := []plant{
		{"the cluster's DNS open", []string{"policy", "outside-dns"}, "10.96.0.10:53", openEgress(tenant, "planted", "{ports: [{port: 53, protocol: UDP}]}")},
		{
			"a list that the proxy does not have",
			[]string{"proxied", "request", "captured"},
			"the proxy denies http://" + environment.HTTPBinName + "/ip, which the allow list covers",
			func(t *testing.T) {
				t.Helper()
				longer := byNames
				longer.allow = "{domains: [" + environment.IPEchoName + ", " + environment.HTTPBinName + "]}"
				t.Cleanup(func() { applyTenant(context.WithoutCancel(t.Context()), t, byNames) })
				applyTenant(t.Context(), t, longer)
			},
		},
	}
	for _, p := range plants {
		p.fault(t)
	}
	requireNamed(t, plants, func(t *testing.T) []check {
		t.Helper()
		return verify(t, binary, tenant, tenant, "http://"+environment.HTTPBinName+"/ip")
	})
}
