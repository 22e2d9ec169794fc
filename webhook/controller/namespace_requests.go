package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// namespaceRequests maps changed objects to the namespaces whose policies depend
// on them.
type namespaceRequests struct{ cache client.Reader }

// policyToNamespace maps a policy to its namespace.
func policyToNamespace(_ context.Context, policy client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: policy.GetNamespace()}}}
}

// ofTenant maps a tenant to the namespaces with its label.
func (r namespaceRequests) ofTenant(ctx context.Context, tenant client.Object) []reconcile.Request {
	namespaces, err := listNamespaces(ctx, r.cache, tenant.GetName())
	if err != nil {
		// The cache answers from memory: this is a defect of the program, not a
		// busy API server.
		ctrl.LoggerFrom(ctx).Error(err, "the namespaces of a changed tenant are not reconciled", "tenant", tenant.GetName())
		return nil
	}
	requests := make([]reconcile.Request, 0, len(namespaces))
	for i := range namespaces {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Name: namespaces[i].Name}})
	}
	return requests
}

// ofAPIServer maps the addresses of the API server to the namespaces of
// the tenants that may reach it.
func (r namespaceRequests) ofAPIServer(ctx context.Context, endpoints client.Object) []reconcile.Request {
	if endpoints.GetNamespace() != metav1.NamespaceDefault {
		return nil // those of a tenant's Service
	}
	var tenants v1alpha1.EgressTenantList
	if err := r.cache.List(ctx, &tenants, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "the namespaces of tenants with access to the API server are not reconciled")
		return nil
	}
	var requests []reconcile.Request
	for i := range tenants.Items {
		if tenants.Items[i].Spec.HasAPIServerAccess() {
			requests = append(requests, r.ofTenant(ctx, &tenants.Items[i])...)
		}
	}
	return requests
}

// listNamespaces returns the namespaces with the tenant's label. They are the
// cache's own objects and must not be changed.
func listNamespaces(ctx context.Context, reader client.Reader, tenant string) ([]corev1.Namespace, error) {
	var list corev1.NamespaceList
	err := reader.List(ctx, &list, client.MatchingLabels{names.LabelTenant: tenant}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing the namespaces of tenant %s: %w", tenant, err)
	}
	return list.Items, nil
}

// specMayDiffer excludes updates of a tenant's status, which do not affect its
// namespaces. A tenant that was deleted and recreated during a gap in the watch
// also arrives as one update, from generation 1 to generation 1.
func specMayDiffer(update event.UpdateEvent) bool {
	return update.ObjectOld.GetGeneration() != update.ObjectNew.GetGeneration() ||
		update.ObjectOld.GetUID() != update.ObjectNew.GetUID()
}

// policyMayDiffer excludes updates of a tenant that do not affect the NetworkPolicies
// of its namespaces. The status does, if pods are admitted to another port.
func policyMayDiffer(update event.UpdateEvent) bool {
	before, isTenant := update.ObjectOld.(*v1alpha1.EgressTenant)
	after, alsoTenant := update.ObjectNew.(*v1alpha1.EgressTenant)
	return specMayDiffer(update) || isTenant && alsoTenant && before.AdmittedPort() != after.AdmittedPort()
}
