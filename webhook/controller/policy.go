package controller

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"
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

// PolicyApplier creates, repairs and deletes the NetworkPolicies of tenants,
// and counts these changes. Every replica uses it, for admission, and the
// leader also for its controllers. Server-side apply makes concurrent writes
// safe.
type PolicyApplier struct {
	client   client.Client
	settings *settings.Settings
	changes  *prometheus.CounterVec
}

// Values of the label of the counter of changes.
const (
	changeCreated  = "created"
	changeUpdated  = "updated"
	changeRepaired = "repaired"
	changeRemoved  = "removed"
)

// NewPolicyApplier returns a PolicyApplier that reads NetworkPolicies through
// the client's cache.
func NewPolicyApplier(c client.Client, s *settings.Settings) *PolicyApplier {
	changes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: names.MetricPolicyChanges,
		Help: "NetworkPolicies that this replica created, updated because the tenant, the label or the settings changed, repaired because another client deleted or edited them, or removed.",
	}, []string{"change"})
	for _, change := range []string{changeCreated, changeUpdated, changeRepaired, changeRemoved} {
		changes.WithLabelValues(change)
	}
	return &PolicyApplier{client: c, settings: s, changes: changes}
}

// Changes returns the counter of changes, for a registry.
func (p *PolicyApplier) Changes() prometheus.Collector { return p.changes }

// Ensure returns nil once the namespace's NetworkPolicy for the tenant exists
// in the API. It sends no request if the cache already has that policy. A dry
// run never writes, because its pod will not run either.
//
// The error contains the name of the policy that could not be written, and the
// reason.
func (p *PolicyApplier) Ensure(ctx context.Context, namespace string, tenant *v1alpha1.EgressTenant, dryRun bool) error {
	wanted, err := p.Build(ctx, tenant, namespace)
	if err != nil {
		return err
	}
	observed, err := getPolicy(ctx, p.client, namespace)
	switch {
	case err != nil:
		return err
	case netpol.InSync(observed, wanted), dryRun:
		return nil
	}
	change := changeCreated
	if observed != nil {
		change = changeUpdated
	}
	return p.apply(ctx, observed, wanted, change)
}

// Build returns the NetworkPolicy that the tenant requires in a namespace. Only
// tenants with clusterAccess to the API server depend on its addresses, which are
// read from the cache.
func (p *PolicyApplier) Build(ctx context.Context, tenant *v1alpha1.EgressTenant, namespace string) (*networkingv1.NetworkPolicy, error) {
	addresses, err := p.apiServer(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return netpol.Build(tenant, namespace, p.settings, addresses...), nil
}

// BuildCilium returns the CiliumNetworkPolicy that the tenant requires in a
// namespace, nil for none. It reads the same as Build.
func (p *PolicyApplier) BuildCilium(ctx context.Context, tenant *v1alpha1.EgressTenant, namespace string) (*unstructured.Unstructured, error) {
	addresses, err := p.apiServer(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return netpol.BuildCilium(tenant, namespace, p.settings, addresses...), nil
}

// apiServer returns the addresses of the API server for tenants that may reach it.
func (p *PolicyApplier) apiServer(ctx context.Context, tenant *v1alpha1.EgressTenant) ([]netip.AddrPort, error) {
	if !tenant.Spec.HasAPIServerAccess() {
		return nil, nil
	}
	return apiServerAddresses(ctx, p.client)
}

// apply creates the wanted policy, or changes the observed one into it. It
// takes over fields that other field managers own. The change is counted.
func (p *PolicyApplier) apply(ctx context.Context, observed, wanted *networkingv1.NetworkPolicy, change string) error {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(wanted)
	if err != nil {
		return fmt.Errorf("encoding NetworkPolicy %s/%s: %w", wanted.Namespace, wanted.Name, err)
	}
	for _, rules := range foreignRules(observed, wanted) {
		if err := unstructured.SetNestedSlice(object, []any{}, "spec", rules); err != nil {
			return fmt.Errorf("encoding NetworkPolicy %s/%s: %w", wanted.Namespace, wanted.Name, err)
		}
	}
	config := client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: object})
	if err := p.client.Apply(ctx, config, client.FieldOwner(names.FieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("applying NetworkPolicy %s/%s of tenant %s: %w",
			wanted.Namespace, wanted.Name, wanted.Labels[names.LabelTenant], err)
	}
	p.changes.WithLabelValues(change).Inc()
	return nil
}

// foreignRules returns the lists of rules that the observed policy has and the
// wanted one has not. Server-side apply leaves fields alone that the applied
// object omits, so that rules of other clients must be removed explicitly. Only if
// there are any: the API server never stores an empty list, so that applying one
// would be a change every time.
func foreignRules(observed, wanted *networkingv1.NetworkPolicy) []string {
	var lists []string
	if observed != nil && len(observed.Spec.Ingress) > 0 && len(wanted.Spec.Ingress) == 0 {
		lists = append(lists, "ingress")
	}
	if observed != nil && len(observed.Spec.Egress) > 0 && len(wanted.Spec.Egress) == 0 {
		lists = append(lists, "egress")
	}
	return lists
}

// remove deletes the policy if it has not changed since it was observed: a
// later change belongs to a newer reconcile. If a newer reconcile meanwhile
// decided to keep the unchanged policy, it is deleted nevertheless; the delete
// event then triggers a reconcile that recreates it.
func (p *PolicyApplier) remove(ctx context.Context, observed *networkingv1.NetworkPolicy) error {
	err := p.client.Delete(ctx, observed, client.Preconditions{UID: &observed.UID, ResourceVersion: &observed.ResourceVersion})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("deleting NetworkPolicy %s/%s: %w", observed.Namespace, observed.Name, err)
	}
	p.changes.WithLabelValues(changeRemoved).Inc()
	return nil
}

// getPolicy returns the webhook's NetworkPolicy of a namespace, or nil if there
// is none. The result may be the cache's own object and must not be changed:
// getPolicy runs for every admitted pod, so that a copy would cost too much.
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
