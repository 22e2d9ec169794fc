package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/netpol"
)

// NamespaceReconciler keeps the NetworkPolicy of every namespace as its tenant
// asks for: there with the label, gone without it, and restored when somebody
// edits or deletes it. In protected namespaces it is never there.
type NamespaceReconciler struct {
	// Cache answers reads from the manager's cache.
	Cache client.Reader
	// Live reads from the API server.
	Live client.Reader
	// Policies writes the policies.
	Policies *PolicyApplier
	// Protected are the namespaces that can belong to no tenant.
	Protected sets.Set[string]
	// Events tells people about it, on the namespace.
	Events events.EventRecorder
}

// SetupWithManager registers the controller, which runs on the leader only.
func (r *NamespaceReconciler) SetupWithManager(mgr ctrl.Manager) error {
	err := ctrl.NewControllerManagedBy(mgr).
		Named("namespace").
		For(&corev1.Namespace{}).
		Watches(&networkingv1.NetworkPolicy{}, handler.EnqueueRequestsFromMapFunc(namespaceOf)).
		Watches(&v1alpha1.EgressTenant{}, handler.EnqueueRequestsFromMapFunc(r.namespacesOfTenant),
			builder.WithPredicates(predicate.Funcs{UpdateFunc: specMayDiffer})).
		// Another address of the proxy means a write in every namespace; one
		// after the other would leave the last ones cut off for a while.
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("setting up the namespace controller: %w", err)
	}
	return nil
}

// Reconcile looks at one namespace and does what decide says.
//
// The cache is enough to see that nothing is to be done, which is nearly
// always. Before acting, the facts are read again from the API server: the
// caches of namespaces, tenants and policies advance independently, and an old
// namespace beside a new policy would have the policy of pods that another
// replica has just admitted removed.
func (r *NamespaceReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	facts, err := r.observe(ctx, r.Cache, request.Name)
	if err != nil || decide(facts).action == actionNone {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	facts, err = r.observe(ctx, r.Live, request.Name)
	if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	return ctrl.Result{}, r.act(ctx, facts, decide(facts))
}

// observe reads what a decision about the namespace rests on. The error is
// NotFound only when the namespace itself is gone.
func (r *NamespaceReconciler) observe(ctx context.Context, reader client.Reader, name string) (namespaceFacts, error) {
	facts := namespaceFacts{namespace: &corev1.Namespace{}, protected: r.Protected.Has(name)}
	if err := reader.Get(ctx, client.ObjectKey{Name: name}, facts.namespace); err != nil {
		return facts, fmt.Errorf("reading namespace %s: %w", name, err)
	}
	var err error
	if facts.have, err = getPolicy(ctx, reader, name); err != nil {
		return facts, err
	}
	tenantName := facts.namespace.Labels[names.LabelTenant]
	if tenantName == "" {
		return facts, nil
	}
	tenant := &v1alpha1.EgressTenant{}
	switch err := reader.Get(ctx, client.ObjectKey{Name: tenantName}, tenant); {
	case err == nil:
		facts.tenant, facts.want = tenant, netpol.Build(tenant, name, r.Policies.settings)
	case !apierrors.IsNotFound(err):
		return facts, fmt.Errorf("reading EgressTenant %s: %w", tenantName, err)
	}
	return facts, nil
}

// act carries a decision out, and reports it on the namespace and in the log.
func (r *NamespaceReconciler) act(ctx context.Context, facts namespaceFacts, verdict decision) error {
	eventType := corev1.EventTypeNormal
	var err error
	switch verdict.action {
	case actionNone:
		return nil
	case actionApply:
		err = r.Policies.apply(ctx, facts.have, facts.want)
	case actionRemove:
		err = r.Policies.remove(ctx, facts.have)
	case actionKeep, actionRefuse:
		eventType = corev1.EventTypeWarning
	}
	if apierrors.IsConflict(err) {
		return err // somebody decided anew meanwhile, and so do we
	}
	if err != nil {
		r.Events.Eventf(facts.namespace, nil, corev1.EventTypeWarning, string(names.ReasonPolicyFailed), string(verdict.action), "%v", err)
		return err
	}
	r.Events.Eventf(facts.namespace, nil, eventType, string(verdict.reason), string(verdict.action), "%s", verdict.message)
	ctrl.LoggerFrom(ctx).Info(verdict.message, "action", verdict.action, "reason", verdict.reason)
	return nil
}

// specMayDiffer leaves out updates of a tenant's status, which change nothing
// for its namespaces. A tenant that was deleted and made anew while nobody
// watched arrives as one update as well, from generation 1 to generation 1.
func specMayDiffer(update event.UpdateEvent) bool {
	return update.ObjectOld.GetGeneration() != update.ObjectNew.GetGeneration() ||
		update.ObjectOld.GetUID() != update.ObjectNew.GetUID()
}

// namespaceOf maps a NetworkPolicy to its namespace.
func namespaceOf(_ context.Context, policy client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: policy.GetNamespace()}}}
}

// namespacesOfTenant maps a tenant to the namespaces that carry its label.
func (r *NamespaceReconciler) namespacesOfTenant(ctx context.Context, tenant client.Object) []reconcile.Request {
	namespaces, err := listNamespaces(ctx, r.Cache, tenant.GetName())
	if err != nil {
		// The cache answers from memory: this is a wrong program, not a busy
		// API server.
		ctrl.LoggerFrom(ctx).Error(err, "namespaces of a changed tenant are not looked at", "tenant", tenant.GetName())
		return nil
	}
	requests := make([]reconcile.Request, 0, len(namespaces))
	for i := range namespaces {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Name: namespaces[i].Name}})
	}
	return requests
}

// listNamespaces returns the namespaces that carry the tenant's label, as the
// cache holds them: nobody changes them.
func listNamespaces(ctx context.Context, reader client.Reader, tenant string) ([]corev1.Namespace, error) {
	var list corev1.NamespaceList
	err := reader.List(ctx, &list, client.MatchingLabels{names.LabelTenant: tenant}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing the namespaces of tenant %s: %w", tenant, err)
	}
	return list.Items, nil
}
