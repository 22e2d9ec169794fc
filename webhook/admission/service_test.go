package admission

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/settings"
)

// laggingCache has a tenant without its Service for some reads.
type laggingCache struct {
	client.Reader
	without, with *v1alpha1.EgressTenant
	after         int64
	reads         atomic.Int64
}

func (c *laggingCache) Get(_ context.Context, _ client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	tenant := c.without
	if c.reads.Add(1) > c.after {
		tenant = c.with
	}
	tenant.DeepCopyInto(object.(*v1alpha1.EgressTenant))
	return nil
}

// TestPodsWaitForTheService: the pods that are applied together with their tenant get the
// address of its Service.
func TestPodsWaitForTheService(t *testing.T) {
	t.Parallel()
	young := tenantFixture("client-a", 3129)
	young.CreationTimestamp = metav1.Now()
	for name, test := range map[string]struct {
		change   func(*v1alpha1.EgressTenant)
		identity v1alpha1.Identity
		after    int64
		waits    bool
		want     string
	}{
		"it comes":             {waits: true, after: 3, want: "10.32.4.31"},
		"it does not come":     {waits: true, after: 1 << 30},
		"not a young tenant":   {change: func(t *v1alpha1.EgressTenant) { t.CreationTimestamp = metav1.NewTime(time.Now().Add(-time.Minute)) }},
		"sidecar":              {change: func(t *v1alpha1.EgressTenant) { t.Spec.Sidecar = &v1alpha1.Sidecar{} }},
		"certificates alone":   {identity: v1alpha1.IdentityRequired},
		"it is there already":  {change: func(t *v1alpha1.EgressTenant) { *t = *served(t, "10.32.4.32") }, want: "10.32.4.32"},
		"another tenant by it": {change: func(t *v1alpha1.EgressTenant) { t.UID = "before" }, waits: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tenant := young.DeepCopy()
			if test.change != nil {
				test.change(tenant)
			}
			cache := &laggingCache{without: young, with: served(young, "10.32.4.31"), after: test.after}
			h := &Handler{cache: cache, settings: &settings.Settings{Proxy: settings.Proxy{Identity: test.identity}}}
			if got := h.withService(t.Context(), tenant).ServiceAddress(); got != test.want || (cache.reads.Load() > 0) != test.waits {
				t.Errorf("the address is %q after %d reads, want %q", got, cache.reads.Load(), test.want)
			}
		})
	}
}
