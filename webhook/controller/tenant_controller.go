package controller

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/netpol"
	"egress.scw/webhook/settings"
)

// actionPublish is the action of events about a tenant: its status says so.
const actionPublish = "PublishStatus"

// TenantReconciler publishes the status of every EgressTenant, and nothing
// else: NamespaceReconciler does what the status is about.
type TenantReconciler struct {
	// Client reads from the manager's cache and writes the status.
	Client client.Client
	// Policies knows what the tenant's NetworkPolicies should be.
	Policies *PolicyApplier
	// Protected are the namespaces that can belong to no tenant.
	Protected sets.Set[string]
	// ProxyURL is what pods of a tenant find in HTTP_PROXY.
	ProxyURL func(*v1alpha1.EgressTenant) string
	// Egress are the addresses that tenants' requests leave the proxy by.
	Egress settings.EgressAddresses
	// Events tells people about tenants that they have to put right.
	Events events.EventRecorder
}

// SetupWithManager registers the controller, which runs on the leader only.
func (r *TenantReconciler) SetupWithManager(mgr ctrl.Manager) error {
	err := ctrl.NewControllerManagedBy(mgr).
		Named("tenant").
		For(&v1alpha1.EgressTenant{}).
		// Both the old and the new tenant of an update are mapped: who shared
		// the old port hears of it as well as who shares the new one.
		Watches(&v1alpha1.EgressTenant{}, handler.EnqueueRequestsFromMapFunc(r.tenantsOnPort),
			builder.WithPredicates(predicate.Funcs{UpdateFunc: specMayDiffer})).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(tenantOf)).
		Watches(&networkingv1.NetworkPolicy{}, handler.EnqueueRequestsFromMapFunc(r.tenantOfPolicy)).
		Complete(r)
	if err != nil {
		return fmt.Errorf("setting up the tenant controller: %w", err)
	}
	return nil
}

// Reconcile computes one tenant's status and writes it if it changed.
func (r *TenantReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	tenant := &v1alpha1.EgressTenant{}
	if err := r.Client.Get(ctx, request.NamespacedName, tenant); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	facts, err := r.observe(ctx, tenant)
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, r.publish(ctx, tenant, tenantStatus(facts, metav1.Now()))
}

// observe reads what the tenant's status rests on.
func (r *TenantReconciler) observe(ctx context.Context, tenant *v1alpha1.EgressTenant) (tenantFacts, error) {
	facts := tenantFacts{tenant: tenant, proxyURL: r.ProxyURL(tenant), egressIPs: r.Egress.Of(tenant)}
	tenants, err := r.listOnPort(ctx, tenant.Spec.Proxy.Port)
	if err != nil {
		return facts, err
	}
	facts.portHolders = slices.DeleteFunc(tenants, func(name string) bool { return name == tenant.Name })

	namespaces, err := listNamespaces(ctx, r.Client, tenant.Name)
	if err != nil {
		return facts, err
	}
	for i := range namespaces {
		namespace := &namespaces[i]
		if r.Protected.Has(namespace.Name) {
			facts.protected = append(facts.protected, namespace.Name)
			continue
		}
		facts.namespaces = append(facts.namespaces, namespace.Name)
		if namespace.DeletionTimestamp != nil {
			continue
		}
		have, err := getPolicy(ctx, r.Client, namespace.Name)
		if err != nil {
			return facts, err
		}
		if !netpol.InSync(have, netpol.Build(tenant, namespace.Name, r.Policies.settings)) {
			facts.uncovered = append(facts.uncovered, namespace.Name)
		}
	}
	slices.Sort(facts.namespaces)
	slices.Sort(facts.protected)
	slices.Sort(facts.uncovered)
	return facts, nil
}

// publish is the one place that writes a tenant's status.
func (r *TenantReconciler) publish(ctx context.Context, tenant *v1alpha1.EgressTenant, status v1alpha1.EgressTenantStatus) error {
	if equality.Semantic.DeepEqual(tenant.Status, status) {
		return nil
	}
	changed := tenant.DeepCopy()
	changed.Status = status
	// Without a condition on the resourceVersion: nobody else writes here, and
	// what was read too early is computed again when the cache has moved on.
	if err := r.Client.Status().Patch(ctx, changed, client.MergeFrom(tenant)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("writing the status of EgressTenant %s: %w", tenant.Name, err))
	}

	before := meta.FindStatusCondition(tenant.Status.Conditions, names.ConditionReady)
	after := meta.FindStatusCondition(status.Conditions, names.ConditionReady)
	if before != nil && before.Reason == after.Reason {
		return nil
	}
	ctrl.LoggerFrom(ctx).Info(after.Message, "ready", after.Status, "reason", after.Reason)
	// Events are for what people have to put right in the tenant. A policy that
	// is missing is the webhook's own business, mostly for milliseconds; when
	// it cannot be written, its namespace has the event with the cause.
	if after.Reason == string(names.ReasonInvalidSpec) || after.Reason == string(names.ReasonPortConflict) {
		r.Events.Eventf(tenant, nil, corev1.EventTypeWarning, after.Reason, actionPublish, "%s", after.Message)
	}
	return nil
}

// tenantOf maps a namespace to the tenant whose label it carries.
func tenantOf(_ context.Context, namespace client.Object) []reconcile.Request {
	name := namespace.GetLabels()[names.LabelTenant]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: name}}}
}

// tenantOfPolicy maps a NetworkPolicy to the tenant of its namespace. Its own
// label is no guide: that may be what somebody edited.
func (r *TenantReconciler) tenantOfPolicy(ctx context.Context, policy client.Object) []reconcile.Request {
	namespace := &corev1.Namespace{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: policy.GetNamespace()}, namespace); err != nil {
		// The namespace is gone, or not in the cache yet: either way it has an
		// event of its own.
		return nil
	}
	return tenantOf(ctx, namespace)
}

// tenantsOnPort maps a tenant to all that have the same port.
func (r *TenantReconciler) tenantsOnPort(ctx context.Context, object client.Object) []reconcile.Request {
	tenant, isTenant := object.(*v1alpha1.EgressTenant)
	if !isTenant {
		return nil
	}
	names, err := r.listOnPort(ctx, tenant.Spec.Proxy.Port)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "tenants on the port of a changed tenant are not looked at", "tenant", tenant.Name)
		return nil
	}
	requests := make([]reconcile.Request, 0, len(names))
	for _, name := range names {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Name: name}})
	}
	return requests
}

// listOnPort returns the names of the tenants that have the port, sorted.
func (r *TenantReconciler) listOnPort(ctx context.Context, port int32) ([]string, error) {
	var list v1alpha1.EgressTenantList
	if err := r.Client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing EgressTenants: %w", err)
	}
	var names []string
	for i := range list.Items {
		if list.Items[i].Spec.Proxy.Port == port {
			names = append(names, list.Items[i].Name)
		}
	}
	slices.Sort(names)
	return names, nil
}
