package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
// leader also for its controllers. Concurrent writes are safe: admission applies
// server-side, and the leader replaces a policy only in the version that it has
// read.
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
	_, err = p.apply(ctx, observed, wanted, change)
	return err
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
	return APIServerAddresses(ctx, p.client)
}

// apply creates the wanted policy, or changes the observed one into it. It
// takes over fields that other field managers own, in whatever version of the
// policy the API server has. The change is counted. The result is the policy as it
// was stored.
func (p *PolicyApplier) apply(ctx context.Context, observed, wanted *networkingv1.NetworkPolicy, change string) (*unstructured.Unstructured, error) {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(wanted)
	if err != nil {
		return nil, fmt.Errorf("encoding NetworkPolicy %s/%s: %w", wanted.Namespace, wanted.Name, err)
	}
	for _, rules := range foreignRules(observed, wanted) {
		if err := unstructured.SetNestedSlice(object, []any{}, "spec", rules); err != nil {
			return nil, fmt.Errorf("encoding NetworkPolicy %s/%s: %w", wanted.Namespace, wanted.Name, err)
		}
	}
	stored := &unstructured.Unstructured{Object: object}
	if err := p.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(stored), client.FieldOwner(names.FieldOwner), client.ForceOwnership); err != nil {
		return nil, writeError("applying", wanted, err)
	}
	p.changes.WithLabelValues(change).Inc()
	return stored, nil
}

// create applies the wanted policy in a namespace that has none in the caches. The
// result is its resourceVersion, and whether the API server had another policy
// there, of which the caches do not know yet.
//
// A POST would refuse to replace that policy, but the rights to POST cannot be
// restricted to a name.
func (p *PolicyApplier) create(ctx context.Context, wanted *networkingv1.NetworkPolicy, change string) (version string, replaced bool, err error) {
	stored, err := p.apply(ctx, nil, wanted, change)
	if err != nil {
		return "", false, err
	}
	// The API server counts the specs of a policy, from 1 on.
	return stored.GetResourceVersion(), stored.GetGeneration() > 1, nil
}

// replace changes the observed policy into the wanted one, unless it was written
// since then. Labels and annotations of other clients stay. The change is counted.
// The result is the new resourceVersion.
//
// For the API server it is less than half of the work of server-side apply, which
// matters when the policies of all namespaces change at once.
func (p *PolicyApplier) replace(ctx context.Context, observed, wanted *networkingv1.NetworkPolicy, change string) (version string, err error) {
	changed := observed.DeepCopy()
	if changed.Labels == nil {
		changed.Labels = map[string]string{}
	}
	maps.Copy(changed.Labels, wanted.Labels)
	changed.Spec = wanted.Spec
	err = p.client.Update(ctx, changed, client.FieldOwner(names.FieldOwner))
	if apierrors.IsNotFound(err) {
		err = apierrors.NewConflict(networkingv1.Resource("networkpolicies"), names.PolicyName, errors.New("it was deleted meanwhile"))
	}
	if err != nil {
		return "", writeError("replacing", wanted, err)
	}
	p.changes.WithLabelValues(change).Inc()
	return changed.ResourceVersion, nil
}

func writeError(doing string, policy *networkingv1.NetworkPolicy, err error) error {
	return fmt.Errorf("%s NetworkPolicy %s/%s of tenant %s: %w", doing, policy.Namespace, policy.Name, policy.Labels[names.LabelTenant], err)
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
