package admission

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/v1alpha1"
)

const (
	// youngTenant is the age up to which a tenant may have no Service yet because the
	// leader has not come to it. A namespace, its tenant and its pods are often applied
	// together.
	youngTenant = 30 * time.Second
	// serviceWait bounds the wait for the Service of a young tenant. The leader takes a
	// few requests to the API server for it, and the API server waits 5 s for the
	// webhook.
	serviceWait = time.Second
	// servicePoll is the pause between two looks at the cache.
	servicePoll = 20 * time.Millisecond
)

// withService returns the tenant as it is once it has a Service. A tenant without one
// after serviceWait, and one that is not young, is returned as it is: its pods get the
// address of a proxy machine, and stay bound to it.
func (h *Handler) withService(ctx context.Context, tenant *v1alpha1.EgressTenant) *v1alpha1.EgressTenant {
	spec := &tenant.Spec
	if tenant.ServiceAddress() != "" || spec.Proxy == nil || spec.HasSidecar() || h.settings.Proxy.Identity == v1alpha1.IdentityRequired ||
		time.Since(tenant.CreationTimestamp.Time) > youngTenant {
		return tenant
	}
	ctx, cancel := context.WithTimeout(ctx, serviceWait)
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return tenant
		case <-time.After(servicePoll):
		}
		var cached v1alpha1.EgressTenant
		err := h.cache.Get(ctx, client.ObjectKey{Name: tenant.Name}, &cached, shared...)
		if err == nil && cached.UID == tenant.UID && cached.ServiceAddress() != "" {
			return &cached
		}
	}
}
