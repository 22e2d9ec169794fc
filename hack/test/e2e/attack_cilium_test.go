package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"egress.scw/hack/local/environment"
)

// ciliumOpen is a policy of Cilium's kind that admits everything.
const ciliumOpen = "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: %s}, spec: {endpointSelector: {}, egress: [{toEntities: [all]}]}}"

// A policy of Cilium's own kind opens a tenant's namespace as a NetworkPolicy does.
// A guard stops it, and so does the webhook where it has the name of its own.
func TestAttackByCiliumPolicies(t *testing.T) {
	requireEnvironment(t)
	if *cni != environment.CNICilium {
		t.Skip("the pods' network is not Cilium")
	}
	policies := byRBAC("{apiGroups: [cilium.io], resources: [ciliumnetworkpolicies], verbs: [get, create, patch]}")
	apply := func(name string) func(context.Context, attacker) error {
		return func(ctx context.Context, a attacker) error { return a.apply(ctx, fmt.Sprintf(ciliumOpen, name)) }
	}
	attack{
		name: "policy of Cilium that admits everything", stops: []stop{policies, byGuard("cni-policies")},
		attempt: apply("open"), undo: remove("ciliumnetworkpolicy/open"), succeeds: reachesInternet,
	}.run(t, newAttacker(t, "e2e-attack-cilium", "client-a"))

	// The name of the webhook's own policy: even a user who may do everything opens
	// nothing for long.
	a := newAttacker(t, "e2e-attack-cilium-name", "client-a")
	if _, err := kubectl(t.Context(), "--namespace="+a.namespace, "get", "namespace", a.namespace); err != nil {
		t.Fatal(err)
	}
	if _, err := shared.Kubectl(t.Context(), strings.NewReader(fmt.Sprintf(ciliumOpen, "egress-scw")), "--namespace="+a.namespace, "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the webhook to remove a policy of its own name", func() (bool, string) {
		out, err := kubectl(t.Context(), "--namespace="+a.namespace, "get", "ciliumnetworkpolicies", "-o", "name")
		return err == nil && !strings.Contains(out, "egress-scw"), fmt.Sprint(out, err)
	})
	requireClosed(t, a)
}
