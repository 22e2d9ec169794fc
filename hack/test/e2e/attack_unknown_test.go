package e2e

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"egress.scw/hack/local/cluster"
)

// A namespace with running pods does not get the label of a tenant that does not
// exist, and one whose tenant is gone is closed.
func TestUnknownTenantCloses(t *testing.T) {
	requireEnvironment(t)
	t.Parallel()
	const tenant = "e2e-gone"
	a := newAttacker(t, "e2e-attack-unknown", "")
	set := func() error {
		_, err := kubectl(t.Context(), "label", "namespace", a.namespace, "egress.scw/tenant="+tenant)
		return err
	}
	if err := set(); err == nil || !strings.Contains(err.Error(), `admission webhook "namespaces.egress.scw" denied the request`) {
		t.Errorf("%v; want a refusal of the label", err)
	}
	requireOpen(t, a)

	// The namespace keeps the label of a tenant that is forced away.
	manifest := fmt.Sprintf("{apiVersion: egress.scw/v1alpha1, kind: EgressTenant, metadata: {name: %s}, spec: {path: Proxy, proxy: {port: 3240}}}", tenant)
	if err := shared.Apply(t.Context(), manifest); err != nil {
		t.Fatal(err)
	}
	away := func(ctx context.Context) {
		t.Helper()
		for _, args := range [][]string{
			{"delete", "egresstenant", tenant, "--wait=false", "--ignore-not-found"},
			{"patch", "egresstenant", tenant, "--type=merge", `--patch={"metadata":{"finalizers":null}}`},
		} {
			if _, err := kubectl(ctx, args...); err != nil && !strings.Contains(err.Error(), "NotFound") {
				t.Error(err)
			}
		}
	}
	t.Cleanup(func() { away(context.WithoutCancel(t.Context())) })
	if err := set(); err != nil {
		t.Fatal(err)
	}
	waitPolicy(t, a.namespace, true)
	away(t.Context())
	eventually(t, "the policy to have no rule", func() (bool, string) {
		out, err := kubectl(t.Context(), "--namespace="+a.namespace, "get", "networkpolicy", "egress-scw", "-o", "jsonpath={.spec}")
		return err == nil && strings.Contains(out, "Egress") && !strings.Contains(out, `"egress"`), fmt.Sprintf("%s %v", out, err)
	})
	requireClosed(t, a)
	eventually(t, "DNS to be closed without the tenant", func() (bool, string) {
		_, err := probe(t.Context(), a.namespace, "resolve", net.JoinHostPort(cluster.DNSIP, "53"), "kubernetes.default.svc.cluster.local")
		return err != nil && isProbes(err), fmt.Sprint(err)
	})
}
