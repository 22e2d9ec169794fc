package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// CiliumReconciler keeps the CiliumNetworkPolicy of every tenant's namespace in
// sync, where the API server knows the kind. It opens the paths of the namespace's
// NetworkPolicy that Cilium does not open by an address. Pods do not wait for it.
type CiliumReconciler struct {
	// Cache reads from the manager's cache. Its CiliumNetworkPolicies of the
	// webhook's name are whole.
	Cache client.Reader
	// Writer writes the policies.
	Writer client.Writer
	// Policies builds the policies.
	Policies *PolicyApplier
	// Protected are the namespaces that cannot belong to a tenant.
	Protected sets.Set[string]
	// Events records failures as events on the namespaces.
	Events events.EventRecorder
}

// SetupWithManager registers the controller, which runs on the leader only.
func (r *CiliumReconciler) SetupWithManager(mgr ctrl.Manager) error {
	requests := namespaceRequests{r.Cache}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("cilium").
		WithLogConstructor(logConstructor(mgr, "cilium", "namespace")).
		For(&corev1.Namespace{}).
		Watches(CiliumPolicies.object(), handler.EnqueueRequestsFromMapFunc(policyToNamespace),
			builder.WithPredicates(predicate.NewPredicateFuncs(func(policy client.Object) bool { return policy.GetName() == names.PolicyName }))).
		Watches(&v1alpha1.EgressTenant{}, handler.EnqueueRequestsFromMapFunc(requests.ofTenant),
			builder.WithPredicates(predicate.Funcs{UpdateFunc: specMayDiffer})).
		Watches(&discoveryv1.EndpointSlice{}, handler.EnqueueRequestsFromMapFunc(requests.ofAPIServer)).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrentNamespaces, RateLimiter: retryLimiter()}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("setting up the controller of CiliumNetworkPolicies: %w", err)
	}
	return nil
}

// Reconcile decides about the policy of one namespace and carries the decision out.
func (r *CiliumReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	facts, err := r.observe(ctx, request.Name)
	if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	do := decideCilium(facts)
	switch do {
	case actionApply:
		err = r.apply(ctx, facts.wanted)
	case actionRemove:
		err = r.remove(ctx, facts.observed)
	default:
		return ctrl.Result{}, nil
	}
	if apierrors.IsConflict(err) {
		return ctrl.Result{}, err // the policy changed meanwhile: decide again
	}
	if err != nil {
		r.Events.Eventf(facts.namespace, nil, corev1.EventTypeWarning, string(names.ReasonPolicyFailed), string(do), "%v", err)
		return ctrl.Result{}, err
	}
	ctrl.LoggerFrom(ctx).Info("CiliumNetworkPolicy reconciled", "tenant", facts.namespace.Labels[names.LabelTenant], "action", do)
	return ctrl.Result{}, nil
}

// observe reads the inputs of the decision. The error is NotFound only if the
// namespace itself does not exist.
func (r *CiliumReconciler) observe(ctx context.Context, name string) (ciliumFacts, error) {
	facts := ciliumFacts{namespace: &corev1.Namespace{}, protected: r.Protected.Has(name)}
	if err := r.Cache.Get(ctx, client.ObjectKey{Name: name}, facts.namespace); err != nil {
		return facts, fmt.Errorf("reading namespace %s: %w", name, err)
	}
	var err error
	if facts.observed, err = getCiliumPolicy(ctx, r.Cache, name); err != nil {
		return facts, err
	}
	tenantName := facts.namespace.Labels[names.LabelTenant]
	if tenantName == "" || facts.protected {
		return facts, nil
	}
	tenant := &v1alpha1.EgressTenant{}
	err = r.Cache.Get(ctx, client.ObjectKey{Name: tenantName}, tenant)
	switch {
	case apierrors.IsNotFound(err):
		return facts, nil
	case err != nil:
		return facts, fmt.Errorf("reading EgressTenant %s: %w", tenantName, err)
	}
	facts.wanted, err = r.Policies.BuildCilium(ctx, tenant, name)
	return facts, err
}

func (r *CiliumReconciler) apply(ctx context.Context, wanted *unstructured.Unstructured) error {
	config := client.ApplyConfigurationFromUnstructured(wanted)
	if err := r.Writer.Apply(ctx, config, client.FieldOwner(names.FieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("applying CiliumNetworkPolicy %s/%s: %w", wanted.GetNamespace(), wanted.GetName(), err)
	}
	return nil
}

// remove deletes the policy if it has not changed since it was observed.
func (r *CiliumReconciler) remove(ctx context.Context, observed *unstructured.Unstructured) error {
	uid, version := observed.GetUID(), observed.GetResourceVersion()
	err := r.Writer.Delete(ctx, observed, client.Preconditions{UID: &uid, ResourceVersion: &version})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting CiliumNetworkPolicy %s/%s: %w", observed.GetNamespace(), observed.GetName(), err)
	}
	return nil
}

// getCiliumPolicy returns the webhook's CiliumNetworkPolicy of a namespace, nil if
// there is none.
func getCiliumPolicy(ctx context.Context, reader client.Reader, namespace string) (*unstructured.Unstructured, error) {
	policy := CiliumPolicies.object()
	key := client.ObjectKey{Namespace: namespace, Name: names.PolicyName}
	err := reader.Get(ctx, key, policy)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading CiliumNetworkPolicy %s: %w", key, err)
	}
	return policy, nil
}
