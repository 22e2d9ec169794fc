package controller

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/netpol"
)

// NamespaceReconciler keeps the NetworkPolicy of every namespace in sync with
// the namespace's label: it creates the policy when the label appears, removes
// it with the label, and restores a policy that was edited or deleted. The policy
// of a namespace whose label names no EgressTenant closes every egress path.
// Protected namespaces never have a policy.
type NamespaceReconciler struct {
	// Cache reads from the manager's cache.
	Cache client.Reader
	// Live reads from the API server.
	Live client.Reader
	// Policies writes the policies.
	Policies *PolicyApplier
	// Protected are the namespaces that cannot belong to a tenant.
	Protected sets.Set[string]
	// Events records the actions as events on the namespaces.
	Events events.EventRecorder
	// Writer writes the events about repairs.
	Writer client.Writer

	repairs repairs
}

// SetupWithManager registers the controller, which runs on the leader only.
func (r *NamespaceReconciler) SetupWithManager(mgr ctrl.Manager) error {
	requests := namespaceRequests{r.Cache}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("namespace").
		WithLogConstructor(logConstructor(mgr, "namespace", "namespace")).
		For(&corev1.Namespace{}).
		Watches(&networkingv1.NetworkPolicy{}, handler.EnqueueRequestsFromMapFunc(policyToNamespace),
			builder.WithPredicates(predicate.NewPredicateFuncs(func(policy client.Object) bool { return policy.GetName() == names.PolicyName }))).
		Watches(&v1alpha1.EgressTenant{}, handler.EnqueueRequestsFromMapFunc(requests.ofTenant),
			builder.WithPredicates(predicate.Funcs{UpdateFunc: policyMayDiffer})).
		Watches(&discoveryv1.EndpointSlice{}, handler.EnqueueRequestsFromMapFunc(requests.ofAPIServer)).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrentNamespaces, RateLimiter: retryLimiter()}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("setting up the namespace controller: %w", err)
	}
	return nil
}

// concurrentNamespaces is the number of namespaces that are reconciled at the
// same time. A new port of a tenant, or a new address of the proxy, requires a
// write in every namespace; until then a namespace is cut off, or keeps a port
// that belongs to another tenant. A reconcile sends one request at a time and
// mostly waits for the answer, so that this is also the number of requests in
// flight. API servers handle 600 at once by default, and divide them between
// their clients.
const concurrentNamespaces = 32

// retryLimiter delays the repetitions of a failed reconcile, each namespace by
// itself. The default limiter of controllers also bounds the repetitions of all
// objects together, to 10 a second: after an interruption of the API server, the
// last of 1,000 namespaces would wait for 90 s.
func retryLimiter() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryFirst, retryLast)
}

// Bounds of the delay of a repetition.
const (
	retryFirst = 5 * time.Millisecond
	retryLast  = 15 * time.Second
)

// Reconcile decides about one namespace and carries the decision out.
//
// The cache suffices to find that there is no action to take, which is nearly
// always the case. The caches of namespaces, tenants and policies advance
// independently: an old namespace beside a new policy would remove the policy of
// pods that another replica has just admitted. Before an action that could do so,
// the facts are read again from the API server. The usual actions need no second
// reading: a settled policy is changed under the condition that it is still the
// same, and the creation of a policy shows whether there was another one.
func (r *NamespaceReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	facts, err := r.observe(ctx, r.Cache, request.Name)
	if err == nil && r.mayBeOutdated(facts, decide(facts)) {
		facts, err = r.observe(ctx, r.Live, request.Name)
	}
	var replaced bool
	if err == nil {
		replaced, err = r.act(ctx, facts, decide(facts))
	}
	if err == nil && replaced {
		if facts, err = r.observe(ctx, r.Live, request.Name); err == nil {
			_, err = r.act(ctx, facts, decide(facts))
		}
	}
	if apierrors.IsNotFound(err) {
		r.repairs.forget(request.Name)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	kept, err := r.release(ctx, facts)
	if err != nil {
		return ctrl.Result{}, err
	}
	wait, err := r.reportRepairs(ctx, facts.namespace)
	if kept > 0 && (wait == 0 || kept < wait) {
		wait = kept
	}
	return ctrl.Result{RequeueAfter: wait}, err
}

// mayBeOutdated reports whether the facts of the caches do not suffice for the
// action.
func (r *NamespaceReconciler) mayBeOutdated(facts namespaceFacts, d decision) bool {
	switch {
	case d.action == actionNone:
		return false
	case facts.observed != nil:
		return !r.repairs.isSettled(facts.namespace, facts.observed)
	case d.action == actionApply, d.action == actionRepair:
		return r.repairs.isPending(facts.namespace)
	}
	return true
}

// observe reads the inputs of a decision about the namespace. The error is
// NotFound only if the namespace itself does not exist.
func (r *NamespaceReconciler) observe(ctx context.Context, reader client.Reader, name string) (namespaceFacts, error) {
	facts := namespaceFacts{namespace: &corev1.Namespace{}, protected: r.Protected.Has(name), cached: reader == r.Cache}
	if err := reader.Get(ctx, client.ObjectKey{Name: name}, facts.namespace); err != nil {
		return facts, fmt.Errorf("reading namespace %s: %w", name, err)
	}
	facts.lastInSync = r.repairs.lastInSync(facts.namespace)
	var err error
	if facts.observed, err = getPolicy(ctx, reader, name); err != nil {
		return facts, err
	}
	tenantName, labelled := facts.namespace.Labels[names.LabelTenant]
	if !labelled {
		return facts, nil
	}
	facts.wanted = netpol.BuildClosed(tenantName, name)
	if tenantName == "" {
		return facts, nil // a label may be empty, the name of an object may not
	}
	tenant := &v1alpha1.EgressTenant{}
	switch err := reader.Get(ctx, client.ObjectKey{Name: tenantName}, tenant); {
	case err == nil:
		facts.tenant = tenant
		if facts.wanted, err = r.Policies.Build(ctx, tenant, name); err != nil {
			return facts, err
		}
	case !apierrors.IsNotFound(err):
		return facts, fmt.Errorf("reading EgressTenant %s: %w", tenantName, err)
	}
	return facts, nil
}

// act carries a decision out, and reports it as an event on the namespace and
// in the log. It returns whether the namespace had another policy than the facts
// show, which was replaced.
func (r *NamespaceReconciler) act(ctx context.Context, facts namespaceFacts, d decision) (replaced bool, err error) {
	eventType := corev1.EventTypeNormal
	switch d.action {
	case actionNone:
		if d.reason == names.ReasonPolicyInSync {
			r.repairs.inSync(facts.namespace, facts.wanted, facts.version(), facts.cached)
		}
		return false, nil
	case actionApply, actionClose, actionRepair:
		replaced, err = r.write(ctx, facts, d)
	case actionRemove:
		if err = r.Policies.remove(ctx, facts.observed); err == nil {
			r.repairs.inSync(facts.namespace, nil, "", false)
		}
	case actionRefuse:
	}
	switch {
	case err == nil:
	case apierrors.IsConflict(err):
		return false, err // the policy changed meanwhile: decide again
	case apierrors.IsNotFound(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return false, nil // the end of the namespace triggers its own reconcile
	default:
		r.Events.Eventf(facts.namespace, nil, corev1.EventTypeWarning, string(names.ReasonPolicyFailed), string(d.action), "%v", err)
		return false, err
	}
	if d.action == actionClose || d.action == actionRefuse {
		eventType = corev1.EventTypeWarning
	}
	if d.action != actionRepair { // reportRepairs writes the events of repairs
		r.Events.Eventf(facts.namespace, nil, eventType, string(d.reason), string(d.action), "%s", d.message)
	}
	ctrl.LoggerFrom(ctx).Info("namespace reconciled", "tenant", facts.namespace.Labels[names.LabelTenant],
		"action", d.action, "reason", d.reason, "message", d.message)
	return replaced, nil
}

// write writes the wanted policy, and remembers it. It returns whether it replaced
// another policy than the observed one.
func (r *NamespaceReconciler) write(ctx context.Context, facts namespaceFacts, d decision) (replaced bool, err error) {
	change := changeCreated
	switch {
	case d.action == actionRepair:
		change = changeRepaired
	case facts.observed != nil:
		change = changeUpdated
	}
	var version string
	if facts.observed == nil {
		version, replaced, err = r.Policies.create(ctx, facts.wanted, change)
	} else {
		version, err = r.Policies.replace(ctx, facts.observed, facts.wanted, change)
	}
	if err != nil {
		return false, err
	}
	if !facts.cached || replaced {
		version = "" // the caches may have older facts than those of this policy
	}
	r.repairs.inSync(facts.namespace, facts.wanted, version, false)
	if d.action == actionRepair {
		r.repairs.add(facts.namespace, d.cause, time.Now())
	}
	return replaced, nil
}
