package integration

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
)

// Every attempt is made by a ServiceAccount with the built-in role admin in the
// namespace of a tenant. The guard refuses it with its own message. As a
// control, the same request succeeds as soon as that one guard is not bound.
func TestGuards(t *testing.T) {
	installCNIDefinitions(t)
	runGuards(t, map[string][]attempt{
		"namespace-labels":     append(tenantLabelAttempts(), podSecurityAttempts()...),
		"own-policy":           ownPolicyAttempts(),
		"network-policies":     networkPolicyAttempts(),
		"cni-policies":         cniPolicyAttempts(),
		"external-ips":         externalIPAttempts(),
		"load-balancer-status": loadBalancerStatusAttempts(),
		"endpoints":            endpointsAttempts(),
		"bindings":             bindingAttempts(),
		"probe-hosts":          probeHostAttempts(),
		"volumes":              volumeAttempts(),
	})
}

// The list of registries is empty by default.
func TestGuardOfImageRegistries(t *testing.T) {
	shared.upgrade(t, map[string]any{"guards": map[string]any{"imageRegistries": []any{"rg.fr-par.scw.cloud/platform"}}})
	t.Cleanup(func() { shared.upgrade(t, nil) })
	runGuards(t, map[string][]attempt{"image-registries": imageAttempts()})
	runAdmitted(t, admittedImages())
}

func runGuards(t *testing.T, attempts map[string][]attempt) {
	t.Helper()
	for _, guard := range slices.Sorted(maps.Keys(attempts)) {
		t.Run(guard, func(t *testing.T) {
			policy := guardPolicy(t, guard)
			attackers := map[string]*attacker{} // by the attempt's name
			for _, a := range attempts[guard] {
				// Namespace and rights are there for the control, too.
				attacker := newAttacker(t, a.prepare)
				if len(a.rights) > 0 {
					t.Run(a.name+", RBAC alone", func(t *testing.T) { attacker.requireNoRight(t, a.request) })
					attacker.grant(t, a.rights)
				}
				t.Run(a.name, func(t *testing.T) { attacker.requireRefused(t, a, policy) })
				attackers[a.name] = attacker
			}
			unbind(t, policy.Name)
			switch guard {
			case "own-policy":
				for _, a := range attempts[guard] {
					t.Run(a.name+", the webhook alone", func(t *testing.T) { attackers[a.name].requireLocked(t, a.request) })
				}
				t.Cleanup(removeValidation(t))
			case "namespace-labels": // the webhook refuses labels that name no tenant
				t.Cleanup(removeValidation(t))
			}
			for _, a := range attempts[guard] {
				t.Run(a.name+", without the guard", func(t *testing.T) { attackers[a.name].requireSuccess(t, a.request) })
			}
		})
	}
}

// requireNoRight requires that RBAC refuses the request: the role admin does not
// permit it.
func (s *attacker) requireNoRight(t *testing.T, request request) {
	t.Helper()
	err := request(t.Context(), s.dryRun, s.namespace)
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), " cannot ") {
		t.Errorf("the role admin alone should not permit the request: %v", err)
	}
}

// requireRefused requires that the guard refuses the attempt, by one of its
// validations.
func (s *attacker) requireRefused(t *testing.T, a attempt, policy *admissionregistrationv1.ValidatingAdmissionPolicy) {
	t.Helper()
	want := fmt.Sprintf("ValidatingAdmissionPolicy '%s' with binding '%s' denied request: %s",
		policy.Name, policy.Name, policy.Spec.Validations[a.validation].Message)
	refused := func(err error) bool { return apierrors.IsForbidden(err) && strings.HasSuffix(err.Error(), want) }
	eventually(t, "the guard", func(ctx context.Context) (bool, string) {
		err := a.request(ctx, s.dryRun, s.namespace)
		return refused(err), fmt.Sprintf("answer %v, want %s", err, want)
	})
	if err := a.request(t.Context(), s.client, s.namespace); !refused(err) {
		t.Errorf("answer %v, want %s", err, want)
	}
}

// requireLocked requires that the webhook refuses a change of its NetworkPolicy by
// itself, without a guard.
func (s *attacker) requireLocked(t *testing.T, request request) {
	t.Helper()
	want := `admission webhook "policies.egress.scw" denied the request: NetworkPolicy egress-scw of namespace ` + s.namespace
	eventually(t, "the webhook to refuse", func(ctx context.Context) (bool, string) {
		err := request(ctx, s.dryRun, s.namespace)
		return err != nil && strings.Contains(err.Error(), want), fmt.Sprintf("answer %v, want %s", err, want)
	})
	if err := request(t.Context(), s.client, s.namespace); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("answer %v, want %s", err, want)
	}
}

// requireSuccess requires that the request succeeds. A guard that was unbound
// refuses for about a second more.
func (s *attacker) requireSuccess(t *testing.T, request request) {
	t.Helper()
	eventually(t, "the request to be admitted", func(ctx context.Context) (bool, string) {
		err := request(ctx, s.dryRun, s.namespace)
		return err == nil, fmt.Sprint(err)
	})
	if err := request(t.Context(), s.client, s.namespace); err != nil {
		t.Error(err)
	}
}

func guardPolicy(t *testing.T, guard string) *admissionregistrationv1.ValidatingAdmissionPolicy {
	t.Helper()
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{}
	if err := shared.client.Get(t.Context(), client.ObjectKey{Name: guard + "." + names.Group}, policy); err != nil {
		t.Fatal(err)
	}
	return policy
}

// unbind removes the binding of a guard until the test ends.
func unbind(t *testing.T, name string) {
	t.Helper()
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}
	if err := shared.client.Get(t.Context(), client.ObjectKey{Name: name}, binding); err != nil {
		t.Fatal(err)
	}
	if err := shared.client.Delete(t.Context(), binding.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		binding.ResourceVersion, binding.UID = "", ""
		if err := shared.client.Create(context.Background(), binding); err != nil {
			t.Error(err)
		}
	})
}

// The API server finds no error in the types of the guards' expressions. Kinds
// that do not exist are not checked.
func TestGuardsAreTyped(t *testing.T) {
	eventually(t, "the controller to check every guard", func(ctx context.Context) (bool, string) {
		var policies admissionregistrationv1.ValidatingAdmissionPolicyList
		if err := shared.client.List(ctx, &policies, client.MatchingLabels{"app.kubernetes.io/instance": releaseName}); err != nil {
			return false, err.Error()
		}
		for _, policy := range policies.Items {
			if policy.Status.ObservedGeneration != policy.Generation || policy.Status.TypeChecking == nil {
				return false, policy.Name
			}
			for _, warning := range policy.Status.TypeChecking.ExpressionWarnings {
				t.Errorf("%s: %s: %s", policy.Name, warning.FieldRef, warning.Warning)
			}
		}
		return len(policies.Items) > 0, "no guard"
	})
}
