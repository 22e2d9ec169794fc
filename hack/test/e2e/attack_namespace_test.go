package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// namespaceAttacks change the labels of the attacker's namespace. RBAC keeps
// namespaces from the ClusterRole admin, and platforms may give them.
func namespaceAttacks() []attack {
	right := func(resource string) stop {
		return byRBAC(fmt.Sprintf(`{apiGroups: [""], resources: [%q], verbs: [get, patch, update]}, {apiGroups: [""], resources: [namespaces], verbs: [get]}`, resource))
	}
	relabel := func(args ...string) func(context.Context, attacker) error {
		return func(ctx context.Context, a attacker) error {
			return a.patch(ctx, "namespace/"+a.namespace, `{"metadata":{"labels":{"egress.scw/tenant":"client-b"}}}`, args...)
		}
	}
	restore := func(ctx context.Context, a attacker) error {
		_, err := kubectl(ctx, "label", "namespace", a.namespace, "--overwrite", "egress.scw/tenant=client-a")
		return err
	}
	return []attack{{
		name:     "other tenant in the namespace's label",
		stops:    []stop{right("namespaces"), byGuard("namespace-labels")},
		attempt:  relabel(),
		undo:     restore,
		succeeds: leavesAsOtherTenant,
	}, {
		name:     "other tenant in the namespace's label, by the subresource status",
		stops:    []stop{right("namespaces/status"), byGuard("namespace-labels")},
		attempt:  relabel("--subresource=status"),
		undo:     restore,
		succeeds: leavesAsOtherTenant,
	}, {
		name:  "namespace without a label, by the subresource finalize",
		stops: []stop{right("namespaces/finalize"), byGuard("namespace-labels")},
		attempt: func(ctx context.Context, a attacker) error {
			object := fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q},"spec":{"finalizers":["kubernetes"]}}`, a.namespace)
			_, err := a.kubectl(ctx, object, "replace", "--raw", "/api/v1/namespaces/"+a.namespace+"/finalize", "-f", "-")
			return err
		},
		undo:     restore,
		succeeds: reachesInternet,
	}, {
		name: "own namespace of the other tenant",
		stops: []stop{
			byRBAC(`{apiGroups: [""], resources: [namespaces], verbs: [create]}`),
			byGuard("namespace-labels"),
		},
		attempt: func(ctx context.Context, a attacker) error {
			_, err := a.kubectl(ctx, fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s-joined, labels: {egress.scw/tenant: client-b}}}", a.namespace), "create", "-f", "-")
			return err
		},
		undo: func(ctx context.Context, a attacker) error {
			_, err := kubectl(ctx, "delete", "namespace", a.namespace+"-joined", "--ignore-not-found", "--wait=false")
			return err
		},
		// Its pods reach the port of client-b by this policy.
		succeeds: func(t *testing.T, a attacker) (bool, string) {
			t.Helper()
			out, err := kubectl(t.Context(), "--namespace="+a.namespace+"-joined", "get", "networkpolicy", "egress-scw", "-o", "jsonpath={.spec.egress}")
			return err == nil && strings.Contains(out, "3130"), fmt.Sprintf("%q, %v", out, err)
		},
	}}
}
