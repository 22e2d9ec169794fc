package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// openPolicy has %s for its metadata.
const openPolicy = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {%s}
spec: {podSelector: {}, policyTypes: [Egress], egress: [{}]}
`

// policyAttacks write further NetworkPolicies into the attacker's namespace. The
// webhook's own policy is that of TestAttackByTampering.
func policyAttacks() []attack {
	named := fmt.Sprintf(openPolicy, "name: allow-all")
	apply := func(args ...string) func(context.Context, attacker) error {
		return func(ctx context.Context, a attacker) error {
			_, err := a.kubectl(ctx, named, append([]string{"apply", "-f", "-"}, args...)...)
			return err
		}
	}
	guard := []stop{byGuard("network-policies")}
	return []attack{{
		name: "own policy that admits everything, to the internet", stops: guard,
		attempt: apply(), undo: remove("networkpolicy/allow-all"), succeeds: reachesInternet,
	}, {
		name: "own policy that admits everything, to the other tenant's port", stops: guard,
		attempt: apply(), undo: remove("networkpolicy/allow-all"), succeeds: leavesAsOtherTenant,
	}, {
		name: "own policy by server-side apply, as the webhook's field manager", stops: guard,
		attempt: apply("--server-side", "--field-manager=egress-webhook"), undo: remove("networkpolicy/allow-all"), succeeds: reachesInternet,
	}, {
		name: "own policy with a generated name", stops: guard,
		attempt: func(ctx context.Context, a attacker) error {
			_, err := a.kubectl(ctx, fmt.Sprintf(openPolicy, "generateName: egress-, labels: {made: up}"), "create", "-f", "-")
			return err
		},
		undo: func(ctx context.Context, a attacker) error {
			_, err := kubectl(ctx, "--namespace="+a.namespace, "delete", "networkpolicy", "--selector=made=up")
			return err
		},
		succeeds: reachesInternet,
	}, {
		// Policies without rules close more than they open.
		name: "egress rules added to an own policy", stops: guard,
		attempt: func(ctx context.Context, a attacker) error {
			if err := a.apply(ctx, "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: allow-all}, spec: {podSelector: {}, policyTypes: [Ingress]}}"); err != nil {
				return err
			}
			return a.patch(ctx, "networkpolicy/allow-all", `{"spec":{"policyTypes":["Ingress","Egress"],"egress":[{}]}}`)
		},
		undo: remove("networkpolicy/allow-all"), succeeds: reachesInternet,
	}}
}

// A policy from before the label opens the namespace, because no guard changes
// objects that exist. The status of the tenant names it until it is gone.
func TestPolicyFromBeforeTheLabelIsNamed(t *testing.T) {
	requireEnvironment(t)
	t.Parallel()
	a := newAttacker(t, "e2e-attack-before", "")
	if err := a.apply(t.Context(), fmt.Sprintf(openPolicy, "name: from-before")); err != nil {
		t.Fatal(err)
	}
	label(t, a.namespace, "egress.scw/tenant=client-b")
	waitPolicy(t, a.namespace, true)
	ready := func() string {
		out, err := kubectl(t.Context(), "get", "egresstenant", "client-b", "-o",
			`jsonpath={range .status.conditions[?(@.type=="Ready")]}{.status} {.reason}: {.message}{end}`)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	eventually(t, "the status to name the policy", func() (bool, string) {
		state := ready()
		return strings.HasPrefix(state, "False ForeignEgressRules: ") && strings.Contains(state, a.namespace) && strings.Contains(state, "from-before"), state
	})
	requireOpen(t, a)
	// The guard lets the attacker neither write it again nor widen it.
	if err := a.patch(t.Context(), "networkpolicy/from-before", `{"spec":{"egress":[{},{}]}}`); err == nil || !strings.Contains(err.Error(), byGuard("network-policies").message) {
		t.Errorf("the policy can be changed: %v", err)
	}
	if err := remove("networkpolicy/from-before")(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the tenant to be ready without the policy", func() (bool, string) {
		state := ready()
		return strings.HasPrefix(state, "True "), state
	})
	requireClosed(t, a)
}
