package controller

import (
	"context"
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// MissingGuards returns the names of the guards that have no binding that denies.
func MissingGuards(ctx context.Context, reader client.Reader) ([]string, error) {
	var bindings admissionregistrationv1.ValidatingAdmissionPolicyBindingList
	if err := reader.List(ctx, &bindings, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the bindings of the guards: %w", err)
	}
	present := sets.New[string]()
	for i := range bindings.Items {
		if spec := &bindings.Items[i].Spec; slices.Contains(spec.ValidationActions, admissionregistrationv1.Deny) {
			present.Insert(spec.PolicyName)
		}
	}
	return slices.DeleteFunc(names.Guards(), present.Has), nil
}

func guardedCondition(missing []string) metav1.Condition {
	if len(missing) == 0 {
		return metav1.Condition{
			Type: names.ConditionGuarded, Status: metav1.ConditionTrue, Reason: string(names.ReasonGuardsPresent),
			Message: "Every guard of the chart has a binding",
		}
	}
	return metav1.Condition{
		Type: names.ConditionGuarded, Status: metav1.ConditionFalse, Reason: string(names.ReasonGuardsMissing),
		Message: fmt.Sprintf("Admins of the tenant's namespaces can open them: guards without a binding: %s (the chart's value guards)", enumerate(missing)),
	}
}

// allTenants maps an object that concerns all tenants.
func (r *TenantReconciler) allTenants(ctx context.Context, _ client.Object) []reconcile.Request {
	var list v1alpha1.EgressTenantList
	if err := r.Client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil // the cache answers from memory
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Name: list.Items[i].Name}})
	}
	return requests
}
