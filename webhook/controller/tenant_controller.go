package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/netpol"
	"egress.scw/webhook/settings"
)

// TenantReconciler writes the status and the finalizer of every EgressTenant, and keeps
// its Service. NamespaceReconciler does the other work that the status reports.
type TenantReconciler struct {
	// Client reads from the manager's cache and writes the status.
	Client client.Client
	// Policies builds the tenant's NetworkPolicies, to compare them.
	Policies *PolicyApplier
	// Protected are the namespaces that cannot belong to a tenant.
	Protected sets.Set[string]
	// Unsupported returns why the settings do not have what a tenant needs, and nil if
	// they do.
	Unsupported func(*v1alpha1.EgressTenant) *inject.Refusal
	// DirectURL returns the URL of the proxy for a tenant's pods without its Service.
	DirectURL func(*v1alpha1.EgressTenant) string
	// NoProxy returns the part of NO_PROXY that a tenant's pods have in common.
	NoProxy func(*v1alpha1.EgressTenant) string
	// Egress are the source addresses of the proxy's requests.
	Egress settings.EgressAddresses
	// PluginPolicies are the kinds of policies, beside NetworkPolicy, that may open
	// egress paths.
	PluginPolicies []PolicyKind
	// Proxy asks the proxies. It is nil if ports are not verified.
	Proxy *ProxyProber
	// Sidecars keeps the certificates of sidecars. It is nil if the proxy accepts none,
	// and Unsupported has a reason for every tenant with sidecars.
	Sidecars *SidecarReconciler
	// Services keeps the Services of tenants. It is nil in tests of other parts.
	Services *TenantServices
	// Events records errors that people must correct, on the tenants.
	Events events.EventRecorder

	former formerStatuses
}

// SetupWithManager registers the controller, which runs on the leader only.
func (r *TenantReconciler) SetupWithManager(mgr ctrl.Manager) error {
	controlled := ctrl.NewControllerManagedBy(mgr).
		Named("tenant").
		WithLogConstructor(logConstructor(mgr, "tenant", "tenant")).
		WithOptions(controller.Options{RateLimiter: retryLimiter()}).
		For(&v1alpha1.EgressTenant{}).
		// An update maps both its old and its new object, so that the tenants
		// on the old port are reconciled as well as those on the new port.
		Watches(&v1alpha1.EgressTenant{}, handler.EnqueueRequestsFromMapFunc(r.tenantToTenantsOnPort),
			builder.WithPredicates(predicate.Funcs{UpdateFunc: specMayDiffer})).
		Watches(&corev1.Namespace{}, enqueueLater(namespaceToTenant)).
		Watches(&networkingv1.NetworkPolicy{}, enqueueLater(r.policyToTenant)).
		Watches(&admissionregistrationv1.ValidatingAdmissionPolicyBinding{}, enqueueLater(r.allTenants))
	if r.Services != nil {
		r.Services.watch(controlled)
	}
	if r.Proxy != nil {
		controlled.WatchesRawSource(source.Channel(r.Proxy.changes, &handler.EnqueueRequestForObject{}))
	}
	if r.Sidecars != nil {
		controlled.WatchesRawSource(source.Channel(r.Sidecars.changes, &handler.EnqueueRequestForObject{}))
	}
	for _, kind := range r.PluginPolicies {
		controlled.Watches(kind.object(), enqueueLater(r.policyToTenant))
	}
	err := controlled.Complete(r)
	if err != nil {
		return fmt.Errorf("setting up the tenant controller: %w", err)
	}
	return nil
}

// Reconcile keeps the Service of one tenant, computes the tenant's status and writes it
// if it changed.
func (r *TenantReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	tenant := &v1alpha1.EgressTenant{}
	if err := r.Client.Get(ctx, request.NamespacedName, tenant); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	facts, err := r.observe(ctx, tenant)
	if err != nil {
		return ctrl.Result{}, err
	}
	tenant, err = r.keepInUse(ctx, tenant, len(facts.namespaces)+len(facts.protected))
	if err != nil || tenant.DeletionTimestamp != nil && len(tenant.Finalizers) == 0 {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	var serviceErr error
	if r.Services != nil {
		facts.service, serviceErr = r.Services.keep(ctx, tenant)
	}
	if r.Proxy != nil && isTenantPort(tenant.Spec.ProxyPort()) {
		proxy, known := r.Proxy.factsOf(tenant, len(facts.portHolders) > 0)
		if !known {
			return ctrl.Result{}, serviceErr // the answers trigger the next reconcile
		}
		facts.proxy = &proxy
	}
	var known bool
	if facts.sidecar, known = r.sidecarOf(tenant, facts.unsupported); !known {
		return ctrl.Result{}, serviceErr // its state triggers the next reconcile
	}
	var again time.Duration
	facts.proxyURL, again = r.former.proxyURL(tenant, facts.service, facts.directURL, time.Now())
	err = r.publish(ctx, tenant, tenantStatus(facts, metav1.Now()))
	if again == 0 && facts.service != nil && facts.service.reason == names.ReasonServiceAddressUnavailable {
		again = addressRetry
	}
	return ctrl.Result{RequeueAfter: again}, errors.Join(err, serviceErr)
}

// observe reads the inputs of the tenant's status.
func (r *TenantReconciler) observe(ctx context.Context, tenant *v1alpha1.EgressTenant) (tenantFacts, error) {
	facts := tenantFacts{tenant: tenant, unsupported: r.Unsupported(tenant), directURL: r.DirectURL(tenant), noProxy: r.NoProxy(tenant), egressAddresses: r.Egress.Of(tenant)}
	onPort, err := tenantsOnPort(ctx, r.Client, tenant.Spec.ProxyPort())
	if err != nil {
		return facts, err
	}
	facts.addPortHolders(onPort)

	namespaces, err := listNamespaces(ctx, r.Client, tenant.Name)
	if err != nil {
		return facts, err
	}
	wanted, err := r.Policies.Build(ctx, tenant, "") // InSync does not compare the namespace
	if err != nil {
		return facts, err
	}
	wantedCilium, err := r.wantedCilium(ctx, tenant)
	if err != nil {
		return facts, err
	}
	for i := range namespaces {
		namespace := &namespaces[i]
		if r.Protected.Has(namespace.Name) {
			facts.protected = append(facts.protected, namespace.Name)
			continue
		}
		facts.add(namespace)
		if namespace.DeletionTimestamp != nil {
			continue
		}
		observed, err := getPolicy(ctx, r.Client, namespace.Name)
		if err != nil {
			return facts, err
		}
		if !netpol.InSync(observed, wanted) {
			facts.outOfSync = append(facts.outOfSync, namespace.Name)
		}
		if err := r.observeCilium(ctx, &facts, namespace.Name, wantedCilium); err != nil {
			return facts, err
		}
		foreign, err := ForeignEgress(ctx, r.Client, r.PluginPolicies, namespace.Name)
		if err != nil {
			return facts, err
		}
		facts.foreign = append(facts.foreign, foreign...)
	}
	if facts.missingGuards, err = MissingGuards(ctx, r.Client); err != nil {
		return facts, err
	}
	slices.Sort(facts.foreign)
	slices.Sort(facts.namespaces)
	slices.Sort(facts.optedOut)
	slices.Sort(facts.protected)
	slices.Sort(facts.outOfSync)
	slices.Sort(facts.outOfSyncCilium)
	slices.Sort(facts.leftCilium)
	return facts, nil
}

// observeCilium compares the CiliumNetworkPolicy of a namespace with the wanted one, nil
// for none.
func (r *TenantReconciler) observeCilium(ctx context.Context, facts *tenantFacts, namespace string, wanted *unstructured.Unstructured) error {
	if !slices.Contains(r.PluginPolicies, CiliumPolicies) {
		return nil
	}
	observed, err := getCiliumPolicy(ctx, r.Client, namespace)
	switch {
	case err != nil:
		return err
	case wanted == nil && observed != nil:
		facts.leftCilium = append(facts.leftCilium, namespace)
	case wanted != nil && !netpol.CiliumInSync(observed, wanted):
		facts.outOfSyncCilium = append(facts.outOfSyncCilium, namespace)
	}
	return nil
}

// wantedCilium returns the CiliumNetworkPolicy that the tenant requires in its
// namespaces, nil if it requires none, or if there is no such kind.
func (r *TenantReconciler) wantedCilium(ctx context.Context, tenant *v1alpha1.EgressTenant) (*unstructured.Unstructured, error) {
	if !slices.Contains(r.PluginPolicies, CiliumPolicies) {
		return nil, nil
	}
	return r.Policies.BuildCilium(ctx, tenant, "") // CiliumInSync does not compare the namespace
}

// publish is the only function that writes a tenant's status.
func (r *TenantReconciler) publish(ctx context.Context, tenant *v1alpha1.EgressTenant, status v1alpha1.EgressTenantStatus) error {
	if equality.Semantic.DeepEqual(tenant.Status, status) {
		return nil
	}
	changed := tenant.DeepCopy()
	changed.Status = status
	// The patch has no condition on the resourceVersion: only this function
	// writes the status, and a status from outdated facts is computed again
	// once the cache has caught up.
	if err := r.Client.Status().Patch(ctx, changed, client.MergeFrom(tenant)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("writing the status of EgressTenant %s: %w", tenant.Name, err))
	}

	before := meta.FindStatusCondition(tenant.Status.Conditions, names.ConditionReady)
	after := meta.FindStatusCondition(status.Conditions, names.ConditionReady)
	if before != nil && before.Reason == after.Reason {
		return nil
	}
	ctrl.LoggerFrom(ctx).Info("readiness of a tenant changed", "ready", after.Status, "reason", after.Reason, "message", after.Message)
	r.report(tenant, before, after)
	return nil
}

// namespaceToTenant maps a namespace to the tenant of its label.
func namespaceToTenant(_ context.Context, namespace client.Object) []reconcile.Request {
	name := namespace.GetLabels()[names.LabelTenant]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: name}}}
}

// policyToTenant maps a NetworkPolicy to the tenant of its namespace. It does
// not use the policy's own label, which another client may have edited.
func (r *TenantReconciler) policyToTenant(ctx context.Context, policy client.Object) []reconcile.Request {
	namespace := &corev1.Namespace{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: policy.GetNamespace()}, namespace); err != nil {
		// The namespace was deleted, or is not in the cache yet. Its own event
		// triggers the reconcile in both cases.
		return nil
	}
	return namespaceToTenant(ctx, namespace)
}

// tenantToTenantsOnPort maps a tenant to all tenants with the same port.
func (r *TenantReconciler) tenantToTenantsOnPort(ctx context.Context, object client.Object) []reconcile.Request {
	tenant, isTenant := object.(*v1alpha1.EgressTenant)
	if !isTenant {
		return nil
	}
	tenants, err := tenantsOnPort(ctx, r.Client, tenant.Spec.ProxyPort())
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "the tenants on the port of a changed tenant are not reconciled", "tenant", tenant.Name)
		return nil
	}
	requests := make([]reconcile.Request, 0, len(tenants))
	for i := range tenants {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Name: tenants[i].Name}})
	}
	return requests
}

// tenantsOnPort returns the tenants with the port, sorted by name, which must not be
// changed. Port 0, which tenants without spec.proxy have, belongs to no tenant.
func tenantsOnPort(ctx context.Context, reader client.Reader, port int32) ([]v1alpha1.EgressTenant, error) {
	if port == 0 {
		return nil, nil
	}
	var list v1alpha1.EgressTenantList
	if err := reader.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing EgressTenants: %w", err)
	}
	tenants := slices.DeleteFunc(list.Items, func(t v1alpha1.EgressTenant) bool { return t.Spec.ProxyPort() != port })
	slices.SortFunc(tenants, func(a, b v1alpha1.EgressTenant) int { return strings.Compare(a.Name, b.Name) })
	return tenants, nil
}
