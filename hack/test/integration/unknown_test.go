package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
)

// TestUnknownTenantClosesTheNamespace: a label that names no tenant, or is empty,
// closes the namespace, also if it had a tenant before; the tenant's policy
// replaces that policy as soon as the tenant exists.
func TestUnknownTenantClosesTheNamespace(t *testing.T) {
	for name, before := range map[string]string{"without tenant": "", "with tenant": "client-a"} {
		t.Run(name, func(t *testing.T) {
			namespace := newNamespace(t, before)
			if before != "" {
				waitForEgress(t, namespace, "3129")
			}
			late := "late-" + namespace
			for _, value := range []string{late, ""} {
				setTenantUnchecked(t, namespace, value)
				waitForEgress(t, namespace, "")
			}
			setTenantUnchecked(t, namespace, late)
			object := tenant(late, 3210)
			createTenant(t, &object)
			waitForEgress(t, namespace, "3210")
			setLabel(t, namespace, "null")
		})
	}
}

// setLabel sets the tenant label to a value in JSON.
func setLabel(t *testing.T, namespace, value string) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%s}}}`, names.LabelTenant, value)
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if err := shared.client.Patch(t.Context(), object, client.RawPatch(types.MergePatchType, patch)); err != nil {
		t.Fatal(err)
	}
}

// waitForEgress waits until the policy opens the tenant's port, or nothing.
func waitForEgress(t *testing.T, namespace, port string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the policy of %s to open %q", namespace, port), func(ctx context.Context) (bool, string) {
		var policy networkingv1.NetworkPolicy
		if err := shared.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: names.PolicyName}, &policy); err != nil {
			return false, err.Error()
		}
		spec := policy.Spec.String()
		if port == "" {
			return len(policy.Spec.Egress) == 0, spec
		}
		return strings.Contains(spec, port), spec
	})
}

// TestRepairsAreReported: deleting and editing the policy is reported as a Warning
// on the namespace, and on the policy where the namespace's admins can read it,
// with the field manager and the number of repairs.
func TestRepairsAreReported(t *testing.T) {
	namespace := newNamespace(t, "client-a")
	waitForEgress(t, namespace, "3129")
	key := client.ObjectKey{Namespace: namespace, Name: names.PolicyName}
	for range 3 {
		var policy networkingv1.NetworkPolicy
		if err := shared.client.Get(t.Context(), key, &policy); err != nil {
			t.Fatal(err)
		}
		uid := policy.UID
		if err := shared.client.Delete(t.Context(), &policy); err != nil {
			t.Fatal(err)
		}
		eventually(t, "another policy", func(ctx context.Context) (bool, string) {
			err := shared.client.Get(ctx, key, &policy)
			return err == nil && policy.UID != uid, fmt.Sprint(err)
		})
	}
	open := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"egress":[{}]}}`))
	object := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: names.PolicyName}}
	if err := shared.client.Patch(t.Context(), object, open, client.FieldOwner("tamperer")); err != nil {
		t.Fatal(err)
	}
	waitForEgress(t, namespace, "3129")
	for _, event := range []client.ObjectKey{
		{Namespace: "default", Name: namespace + "." + names.RepairEvent}, {Namespace: namespace, Name: names.RepairEvent},
	} {
		eventually(t, "the event "+event.String(), func(ctx context.Context) (bool, string) {
			var got corev1.Event
			if err := shared.client.Get(ctx, event, &got); err != nil {
				return false, err.Error()
			}
			done := got.Count == 4 && got.Type == corev1.EventTypeWarning && got.Reason == string(names.ReasonPolicyRepaired) &&
				strings.Contains(got.Message, "was edited by the field manager tamperer, and restored: repair 4 since")
			return done, fmt.Sprintf("%s %s %d: %s", got.Type, got.Reason, got.Count, got.Message)
		})
	}
}
