package controller

import (
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/webhook/api/names"
)

// writtenBy adds field managers to a policy, in the order of their writes.
func writtenBy(entries ...metav1.ManagedFieldsEntry) func(*networkingv1.NetworkPolicy) {
	return func(policy *networkingv1.NetworkPolicy) {
		for i, entry := range entries {
			entry.Time = &metav1.Time{Time: time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC)}
			policy.ManagedFields = append(policy.ManagedFields, entry)
		}
	}
}

func manager(name string, operation metav1.ManagedFieldsOperationType, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{Manager: name, Operation: operation, FieldsV1: metav1.NewFieldsV1(fields)}
}

func TestTampering(t *testing.T) {
	t.Parallel()
	const spec = `{"f:spec":{"f:egress":{}}}`
	ours := manager(names.FieldOwner, metav1.ManagedFieldsOperationApply, spec)
	editor := manager("kubectl-edit", metav1.ManagedFieldsOperationUpdate, spec)
	later := manager("argocd", metav1.ManagedFieldsOperationApply, spec)
	tenant := tenantFixture("client-a", 3129)
	wanted, former := policyFixture("web", tenant), policyFixture("web", tenantFixture("client-a", 3200))
	for name, test := range map[string]struct {
		observed, lastInSync *networkingv1.NetworkPolicy // nil for none
		want                 string
	}{
		"created":                          {nil, nil, ""},
		"deleted":                          {nil, wanted, "deleted"},
		"deleted, and the port is new":     {nil, former, ""},
		"new port":                         {former, former, ""},
		"new port, after a new leader":     {former, nil, ""},
		"new port, also edited":            {policyFixture("web", tenant, openToEverything, writtenBy(ours, editor)), former, "edited by the field manager kubectl-edit"},
		"new port, once applied by others": {policyFixture("web", tenantFixture("client-a", 3200), writtenBy(ours, later)), former, ""},
		"edited":                           {policyFixture("web", tenant, openToEverything, writtenBy(ours, editor)), wanted, "edited by the field manager kubectl-edit"},
		"edited twice":                     {policyFixture("web", tenant, openToEverything, writtenBy(ours, editor, later)), wanted, "edited by the field manager argocd"},
		"edited, after a new leader":       {policyFixture("web", tenant, openToEverything, writtenBy(ours, editor)), nil, "edited by the field manager kubectl-edit"},
		"edited in our name":               {policyFixture("web", tenant, openToEverything, writtenBy(ours)), wanted, "edited"},
		"edited, after our own update":     {policyFixture("web", tenant, openToEverything, writtenBy(editor, manager(names.FieldOwner, metav1.ManagedFieldsOperationUpdate, spec))), wanted, "edited by the field manager kubectl-edit"},
		"new port, after our own update":   {policyFixture("web", tenantFixture("client-a", 3200), writtenBy(manager(names.FieldOwner, metav1.ManagedFieldsOperationUpdate, spec))), nil, ""},
		"label edited":                     {policyFixture("web", tenant, withoutTenantLabel, writtenBy(ours, manager("kubectl", metav1.ManagedFieldsOperationUpdate, `{"f:metadata":{"f:labels":{"f:egress.scw/tenant":{}}}}`))), nil, "edited by the field manager kubectl"},
		"other label edited, new port":     {policyFixture("web", tenantFixture("client-a", 3200), writtenBy(ours, manager("kubectl", metav1.ManagedFieldsOperationUpdate, `{"f:metadata":{"f:labels":{"f:team":{}}}}`))), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tampering(test.observed, wanted, fingerprintOf(test.lastInSync)); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
