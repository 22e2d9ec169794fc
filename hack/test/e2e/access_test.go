package e2e

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"egress.scw/hack/local/cluster"
	"egress.scw/hack/local/environment"
)

const accessTenant = "e2e-access"

// A tenant with clusterAccess to the API server reaches it, by its Service and by
// its address, and without that access it does not. On Cilium a NetworkPolicy alone
// opens neither.
func TestAPIServerAccess(t *testing.T) {
	requireEnvironment(t)
	if *cni != environment.CNICilium {
		t.Skip("the pods' network is not Cilium (make test-cilium): addresses in NetworkPolicies suffice")
	}
	// Path Gateway: the proxy serves no further tenant.
	newTenant(t, accessTenant, "{path: Gateway}")
	newNamespace(t, accessTenant, accessTenant)
	waitPolicy(t, accessTenant, true)
	service := net.JoinHostPort(cluster.ServiceIP, "443")
	address := strings.TrimPrefix(shared.Cluster.URL(), "https://")
	requireOpen := func(open bool, after string) {
		t.Helper()
		for _, to := range []string{service, address} {
			eventually(t, fmt.Sprintf("%s to be open: %t, %s", to, open, after), func() (bool, string) {
				_, err := probe(t.Context(), accessTenant, "dial", "tcp", to)
				return (err == nil) == open && (err == nil || isProbes(err)), fmt.Sprint(err)
			})
		}
	}
	patch := func(access string) {
		t.Helper()
		if _, err := kubectl(t.Context(), "patch", "egresstenant", accessTenant, "--type=merge", "--patch", `{"spec": {"clusterAccess": `+access+`}}`); err != nil {
			t.Fatal(err)
		}
	}
	requireOpen(false, "without clusterAccess")
	patch(`[{"apiServer": true}]`)
	requireOpen(true, "with clusterAccess")
	kubelet := net.JoinHostPort(shared.Plan.NodeAddress.String(), "10250")
	if _, err := probe(t.Context(), accessTenant, "dial", "tcp", kubelet); err == nil || !isProbes(err) {
		t.Errorf("the node's other port %s: %v; want it closed", kubelet, err)
	}
	patch("null")
	requireOpen(false, "after clusterAccess was removed")
}

// newTenant creates an EgressTenant until the test ends.
func newTenant(t *testing.T, name, spec string) {
	t.Helper()
	t.Cleanup(func() {
		// Cleanups run after the test's context has ended. The finalizer keeps the
		// tenant until its namespaces have gone.
		if _, err := kubectl(context.WithoutCancel(t.Context()), "delete", "egresstenant", name, "--ignore-not-found", "--wait=false"); err != nil {
			t.Error(err)
		}
	})
	if err := shared.Apply(t.Context(), fmt.Sprintf("{apiVersion: egress.scw/v1alpha1, kind: EgressTenant, metadata: {name: %s}, spec: %s}", name, spec)); err != nil {
		t.Fatal(err)
	}
}
