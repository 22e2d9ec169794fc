package controller

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// keepInUse adds a finalizer to a tenant while namespaces carry its label, and
// removes it afterwards. Without it, a deleted tenant would close the namespaces
// that use it. It returns the tenant as it was written.
func (r *TenantReconciler) keepInUse(ctx context.Context, tenant *v1alpha1.EgressTenant, namespaces int) (*v1alpha1.EgressTenant, error) {
	has := slices.Contains(tenant.Finalizers, names.FinalizerInUse)
	changed := tenant.DeepCopy()
	switch {
	case namespaces > 0 && !has && tenant.DeletionTimestamp == nil:
		controllerutil.AddFinalizer(changed, names.FinalizerInUse)
	case namespaces == 0 && has:
		controllerutil.RemoveFinalizer(changed, names.FinalizerInUse)
	default:
		return tenant, nil
	}
	// Of finalizers, a merge patch replaces the whole list: not one that another
	// client has changed meanwhile.
	patch := client.MergeFromWithOptions(tenant, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, changed, patch); err != nil {
		return nil, fmt.Errorf("writing the finalizer of EgressTenant %s: %w", tenant.Name, err)
	}
	return changed, nil
}
