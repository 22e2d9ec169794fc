package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// The namespace of the cluster's DNS is labelled: it works as before, and
// namespace and tenant report the error, until the label is removed.
func TestProtectedNamespaceStaysOpen(t *testing.T) {
	const namespace, reason = metav1.NamespaceSystem, "ProtectedNamespace"
	t.Cleanup(func() { setTenant(context.Background(), t, namespace, "") })
	setTenant(t.Context(), t, namespace, "client-b")

	eventually(t, "client-b not to be ready because of "+namespace, func(ctx context.Context) (bool, string) {
		ready, status, err := readiness(ctx, "client-b")
		done := ready.Status == metav1.ConditionFalse && ready.Reason == reason && strings.Contains(ready.Message, namespace)
		return done && !slices.Contains(status.Namespaces, namespace), fmt.Sprintf("%+v, error %v", status, err)
	})
	eventually(t, "a warning on "+namespace, func(ctx context.Context) (bool, string) {
		return warned(ctx, namespace, reason)
	})
	// The controller has reported the error, and written no policy.
	if policies := listPolicies(t.Context(), t, namespace); len(policies) > 0 {
		t.Errorf("%s has policies: %q", namespace, policies)
	}
	pod := createPod(t, namespace, corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none"}}})
	t.Cleanup(func() { _ = shared.client.Delete(context.Background(), pod) })
	if len(pod.Spec.Containers[0].Env) > 0 {
		t.Errorf("a pod of %s is injected: %v", namespace, pod.Spec.Containers[0].Env)
	}

	// A policy of ours, left from a time when the namespace was not
	// protected.
	old := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: names.PolicyName, Labels: map[string]string{names.LabelTenant: "client-b"},
		},
		Spec: networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}},
	}
	if err := shared.client.Create(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the policy to go", func(ctx context.Context) (bool, string) {
		policies := listPolicies(ctx, t, namespace)
		return len(policies) == 0, fmt.Sprint(policies)
	})

	setTenant(t.Context(), t, namespace, "")
	eventually(t, "client-b to be ready again", func(ctx context.Context) (bool, string) {
		ready, status, err := readiness(ctx, "client-b")
		return ready.Status == metav1.ConditionTrue, fmt.Sprintf("%+v, error %v", status, err)
	})
}

// setTenant labels a namespace, or removes the label if the tenant is empty.
func setTenant(ctx context.Context, t *testing.T, namespace, tenant string) {
	t.Helper()
	value := "null"
	if tenant != "" {
		value = `"` + tenant + `"`
	}
	patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"metadata":{"labels":{%q:%s}}}`, names.LabelTenant, value))
	if err := shared.client.Patch(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, patch); err != nil {
		t.Error(err)
	}
}

// readiness returns a tenant's condition Ready, empty if there is none, and the
// whole status.
func readiness(ctx context.Context, name string) (metav1.Condition, v1alpha1.EgressTenantStatus, error) {
	var tenant v1alpha1.EgressTenant
	if err := shared.client.Get(ctx, client.ObjectKey{Name: name}, &tenant); err != nil {
		return metav1.Condition{}, tenant.Status, err
	}
	ready := meta.FindStatusCondition(tenant.Status.Conditions, names.ConditionReady)
	if ready == nil {
		ready = &metav1.Condition{}
	}
	return *ready, tenant.Status, nil
}

// warned reports whether the namespace has a warning event that explains how to
// remove the label. If not, it returns the existing events.
func warned(ctx context.Context, namespace, reason string) (found bool, events string) {
	var list eventsv1.EventList
	if err := shared.client.List(ctx, &list, client.InNamespace(metav1.NamespaceDefault)); err != nil {
		return false, err.Error()
	}
	var notes []string
	for _, event := range list.Items {
		if event.Regarding.Kind != "Namespace" || event.Regarding.Name != namespace {
			continue
		}
		if event.Type == corev1.EventTypeWarning && event.Reason == reason && strings.Contains(event.Note, "kubectl label namespace "+namespace) {
			return true, ""
		}
		notes = append(notes, event.Reason+": "+event.Note)
	}
	return false, fmt.Sprintf("%q", notes)
}
