package controller

import (
	"context"
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/netpol"
	"egress.scw/webhook/settings"
)

// PolicyApplier makes the NetworkPolicies of tenants stand in their
// namespaces. The admission handler uses it on every replica, the controllers
// on the leader; server-side apply makes it safe that they do so at once.
type PolicyApplier struct {
	client   client.Client
	settings *settings.Settings
}

// NewPolicyApplier returns a PolicyApplier that reads NetworkPolicies through
// the client's cache, and writes what the settings ask for.
func NewPolicyApplier(c client.Client, s *settings.Settings) *PolicyApplier {
	return &PolicyApplier{client: c, settings: s}
}

// Ensure returns nil once the namespace's NetworkPolicy for the tenant exists
// in the API. When the cache already knows it, nothing is sent. A dry run
// never writes: the pod that it is about is not going to run either.
//
// The error says which policy could not be written, and why.
func (p *PolicyApplier) Ensure(ctx context.Context, namespace string, tenant *v1alpha1.EgressTenant, dryRun bool) error {
	want := netpol.Build(tenant, namespace, p.settings)
	have, err := getPolicy(ctx, p.client, namespace)
	switch {
	case err != nil:
		return err
	case netpol.InSync(have, want), dryRun:
		return nil
	}
	return p.apply(ctx, have, want)
}

// apply makes the policy that stands, if any, what it should be, whoever else
// claims its fields.
func (p *PolicyApplier) apply(ctx context.Context, have, want *networkingv1.NetworkPolicy) error {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(want)
	if err != nil {
		return fmt.Errorf("encoding NetworkPolicy %s/%s: %w", want.Namespace, want.Name, err)
	}
	if have != nil && len(have.Spec.Ingress) > 0 {
		// Somebody added ingress rules. What is not applied is not touched, so
		// that none has to be said; only now, because an empty list is never
		// stored, which makes each apply of one a change.
		if err := unstructured.SetNestedSlice(object, []any{}, "spec", "ingress"); err != nil {
			return fmt.Errorf("encoding NetworkPolicy %s/%s: %w", want.Namespace, want.Name, err)
		}
	}
	config := client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: object})
	if err := p.client.Apply(ctx, config, client.FieldOwner(names.FieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("applying NetworkPolicy %s/%s of tenant %s: %w",
			want.Namespace, want.Name, want.Labels[names.LabelTenant], err)
	}
	return nil
}

// remove deletes the policy if it is still the one that was looked at: a
// policy written since belongs to a decision newer than ours. One that a newer
// decision found right as it was is deleted all the same, and comes back with
// the event of its deletion.
func (p *PolicyApplier) remove(ctx context.Context, have *networkingv1.NetworkPolicy) error {
	err := p.client.Delete(ctx, have, client.Preconditions{UID: &have.UID, ResourceVersion: &have.ResourceVersion})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting NetworkPolicy %s/%s: %w", have.Namespace, have.Name, err)
	}
	return nil
}

// getPolicy returns our NetworkPolicy of a namespace, or nil if there is none.
// It may be the cache's own copy: this runs for every pod that is admitted,
// and nobody changes what it returns.
func getPolicy(ctx context.Context, reader client.Reader, namespace string) (*networkingv1.NetworkPolicy, error) {
	policy := &networkingv1.NetworkPolicy{}
	key := client.ObjectKey{Namespace: namespace, Name: names.PolicyName}
	err := reader.Get(ctx, key, policy, client.UnsafeDisableDeepCopy)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading NetworkPolicy %s: %w", key, err)
	}
	return policy, nil
}
