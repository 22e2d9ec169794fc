package admission

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/netpol"
)

// tenancy is a namespace and the EgressTenant that it belongs to.
type tenancy struct {
	namespace inject.Namespace
	// tenant is nil if there is none. It may be shared with the cache and must
	// not be changed.
	tenant *v1alpha1.EgressTenant
	// policyInSync reports that the NetworkPolicy between them is in sync. It is
	// false without a tenant.
	policyInSync bool
}

// tenancyOf returns the tenancy of a namespace.
//
// If the policy is not in sync, the handler is about to write one, and that must
// rest on live objects alone: the caches of namespaces, tenants and policies
// advance independently. An old label or port beside a newer policy would
// restore the policy's former state, and with it a port that may belong to
// another tenant by now.
func (h *Handler) tenancyOf(ctx context.Context, request *reviewRequest) (tenancy, error) {
	t, found := h.cachedTenancy(ctx, request.Namespace)
	if found && t.policyInSync {
		return t, nil
	}
	// Clients are not authenticated: requests for namespaces that do not exist must
	// not keep those of the API server waiting.
	finish, err := h.lookups.take(ctx, hostOf(request.client))
	if err != nil {
		return tenancy{}, err
	}
	defer finish()
	if !found {
		if t, err = h.lookUp(ctx, request.Namespace); err != nil || t.tenant == nil || t.policyInSync {
			return t, err
		}
	}
	return h.liveTenancy(ctx, request.Namespace)
}

// lookupsOfClient is the number of requests of one client address for which the
// API server is read at the same time.
const lookupsOfClient = 8

// cachedTenancy reads the cache. If the cache does not have the namespace, or
// not as one of an existing tenant, it may merely lag: a namespace, its label
// and its first pod are often applied together. Then the live objects decide.
func (h *Handler) cachedTenancy(ctx context.Context, name string) (t tenancy, found bool) {
	var cached corev1.Namespace
	if h.cache.Get(ctx, client.ObjectKey{Name: name}, &cached, shared...) != nil {
		return tenancy{}, false
	}
	namespace := h.namespace(&cached)
	tenant := h.cachedTenant(ctx, namespace)
	if tenant == nil {
		return tenancy{}, false
	}
	t, err := h.withPolicy(ctx, namespace, tenant)
	return t, err == nil
}

// lookUp reads the namespace from the API server, and its tenant from the cache if
// that has it.
func (h *Handler) lookUp(ctx context.Context, name string) (tenancy, error) {
	namespace, err := h.liveNamespace(ctx, name)
	if err != nil {
		return tenancy{}, err
	}
	tenant := h.cachedTenant(ctx, namespace)
	if tenant == nil {
		if tenant, err = h.liveTenant(ctx, namespace); err != nil {
			return tenancy{}, err
		}
	}
	return h.withPolicy(ctx, namespace, tenant)
}

// liveTenancy reads namespace and tenant from the API server.
func (h *Handler) liveTenancy(ctx context.Context, name string) (tenancy, error) {
	namespace, err := h.liveNamespace(ctx, name)
	if err != nil {
		return tenancy{}, err
	}
	tenant, err := h.liveTenant(ctx, namespace)
	if err != nil {
		return tenancy{}, err
	}
	return h.withPolicy(ctx, namespace, tenant)
}

// withPolicy completes a tenancy.
func (h *Handler) withPolicy(ctx context.Context, namespace inject.Namespace, tenant *v1alpha1.EgressTenant) (tenancy, error) {
	t := tenancy{namespace: namespace, tenant: tenant}
	if tenant == nil {
		return t, nil
	}
	var err error
	t.policyInSync, err = h.policyInSync(ctx, namespace.Name, tenant)
	return t, err
}

func (h *Handler) liveNamespace(ctx context.Context, name string) (inject.Namespace, error) {
	var live corev1.Namespace
	if err := h.live.Get(ctx, client.ObjectKey{Name: name}, &live); err != nil {
		return inject.Namespace{}, fmt.Errorf("reading namespace %q: %w", name, err)
	}
	return h.namespace(&live), nil
}

func (h *Handler) namespace(object *corev1.Namespace) inject.Namespace {
	return inject.Namespace{Name: object.Name, Labels: object.Labels, Annotations: object.Annotations, Protected: h.settings.ProtectedNamespaces.Has(object.Name)}
}

// cachedTenant returns nil if the cache does not have the tenant in the namespace's
// label.
func (h *Handler) cachedTenant(ctx context.Context, namespace inject.Namespace) *v1alpha1.EgressTenant {
	name, _ := namespace.Tenant()
	if name == "" {
		return nil // a label may be empty, the name of an object may not
	}
	var cached v1alpha1.EgressTenant
	if h.cache.Get(ctx, client.ObjectKey{Name: name}, &cached, shared...) != nil {
		return nil
	}
	return &cached
}

// liveTenant returns nil if there is no tenant of the name in the namespace's label.
func (h *Handler) liveTenant(ctx context.Context, namespace inject.Namespace) (*v1alpha1.EgressTenant, error) {
	name, _ := namespace.Tenant()
	if name == "" {
		return nil, nil
	}
	var live v1alpha1.EgressTenant
	switch err := h.live.Get(ctx, client.ObjectKey{Name: name}, &live); {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading EgressTenant %q: %w", name, err)
	}
	return &live, nil
}

// policyInSync reports whether the cache has the namespace's NetworkPolicy as
// the tenant requires it.
func (h *Handler) policyInSync(ctx context.Context, namespace string, tenant *v1alpha1.EgressTenant) (bool, error) {
	var cached networkingv1.NetworkPolicy
	key := client.ObjectKey{Namespace: namespace, Name: names.PolicyName}
	if err := h.cache.Get(ctx, key, &cached, shared...); err != nil {
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return false, fmt.Errorf("reading NetworkPolicy %s: %w", key, err)
	}
	compared := comparison{stateOf(tenant), tenant.AdmittedPort(), cached.UID, cached.ResourceVersion}
	if known, ok := h.inSync.get(namespace); ok && known == compared {
		return true, nil
	}
	wanted, err := h.policies.Build(ctx, tenant, namespace)
	if err != nil {
		return false, err
	}
	inSync := netpol.InSync(&cached, wanted)
	if inSync && cached.ResourceVersion != "" {
		h.inSync.put(namespace, compared)
	}
	return inSync, nil
}

// comparison identifies the states of a tenant and a NetworkPolicy that were
// compared. The API server changes a resourceVersion with every write.
type comparison struct {
	tenant          tenantState
	admittedPort    int32
	policy          types.UID
	resourceVersion string
}

// shared makes a cache return its own objects, which must not be changed.
var shared = []client.GetOption{client.UnsafeDisableDeepCopy}
