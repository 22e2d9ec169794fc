package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
)

// Patches that add and remove one finalizer, and leave others alone.
const (
	keepPatch    = `{"metadata":{"finalizers":["` + names.FinalizerPods + `"]}}`
	releasePatch = `{"metadata":{"$deleteFromPrimitiveList/finalizers":["` + names.FinalizerPods + `"]}}`
)

// Keep adds the finalizer to the NetworkPolicy of a namespace that is about to be
// deleted. A namespace without a policy, or whose policy is being deleted already,
// stays as it is.
//
// The cache may lack the policy that the namespace has, or have the one of a former
// namespace of that name. So the request is sent whatever the cache has, except for a
// policy that is being deleted, to which Kubernetes adds no finalizer.
func (p *PolicyApplier) Keep(ctx context.Context, namespace string) error {
	policy, err := getPolicy(ctx, p.client, namespace)
	if err != nil || policy != nil && policy.DeletionTimestamp != nil {
		return err
	}
	return p.patch(ctx, namespace, keepPatch)
}

func (p *PolicyApplier) patch(ctx context.Context, namespace, patch string) error {
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: names.PolicyName}}
	err := p.client.Patch(ctx, policy, client.RawPatch(types.StrategicMergePatchType, []byte(patch)), client.FieldOwner(names.FieldOwner))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the finalizers of NetworkPolicy %s/%s: %w", namespace, names.PolicyName, err)
	}
	return nil
}

// podList is the kind of lists of pods, of which only the metadata are read.
var podList = corev1.SchemeGroupVersion.WithKind("PodList")

// podsInterval is the time between two looks for pods in a namespace that is being
// deleted. Their number has no bound, so they are not watched.
const podsInterval = 2 * time.Second

// release removes the finalizer of Keep from a policy that is being deleted: at once
// in a namespace that stays, so that the policy is created again if it is wanted, and
// otherwise when the namespace has no pods. It returns the time until it has to be
// called again, 0 for not at all.
func (r *NamespaceReconciler) release(ctx context.Context, facts namespaceFacts) (time.Duration, error) {
	policy := facts.observed
	if policy == nil || policy.DeletionTimestamp == nil || !slices.Contains(policy.Finalizers, names.FinalizerPods) {
		return 0, nil
	}
	deleted, err := r.isDeleted(ctx, facts)
	if err != nil {
		return 0, client.IgnoreNotFound(err) // without the namespace, there is no policy
	}
	if deleted {
		if hasPods, err := r.hasPods(ctx, facts.namespace.Name); err != nil || hasPods {
			return podsInterval, err
		}
	}
	if err := r.Policies.patch(ctx, facts.namespace.Name, releasePatch); err != nil {
		return 0, err
	}
	ctrl.LoggerFrom(ctx).Info("NetworkPolicy released", "namespaceDeleted", deleted)
	return 0, nil
}

// hasPods reports whether a namespace that is being deleted has pods.
//
// Without the right to list them, it has none. The chart takes the right away when it
// finds Kubernetes 1.33, where the API server deletes the pods before the policy. A
// policy may have the finalizer from before then.
func (r *NamespaceReconciler) hasPods(ctx context.Context, namespace string) (bool, error) {
	pods := &metav1.PartialObjectMetadataList{}
	pods.SetGroupVersionKind(podList)
	err := r.Live.List(ctx, pods, client.InNamespace(namespace), client.Limit(1))
	switch {
	case apierrors.IsForbidden(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("looking for pods in namespace %s, which is being deleted: %w", namespace, err)
	}
	return len(pods.Items) > 0, nil
}

// isDeleted reports whether the namespace is being deleted. The cache of policies may be
// ahead of the cache of namespaces: that a policy is being deleted arrives by another
// watch than that its namespace is.
func (r *NamespaceReconciler) isDeleted(ctx context.Context, facts namespaceFacts) (bool, error) {
	if facts.namespace.DeletionTimestamp != nil || !facts.cached {
		return facts.namespace.DeletionTimestamp != nil, nil
	}
	live := &corev1.Namespace{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(facts.namespace), live); err != nil {
		return false, fmt.Errorf("reading namespace %s, whose NetworkPolicy is being deleted: %w", facts.namespace.Name, err)
	}
	return live.DeletionTimestamp != nil, nil
}
