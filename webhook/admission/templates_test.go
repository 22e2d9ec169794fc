package admission

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
)

func newTemplates(t *testing.T) *templates {
	t.Helper()
	return &templates{cluster: injectCluster(t)}
}

func statusOf(t *testing.T, c *templates, tenant *v1alpha1.EgressTenant, namespace string) string {
	t.Helper()
	template, err := c.of(tenant, namespace, nil)
	if err != nil {
		t.Fatal(err)
	}
	injection, err := template.Compute(nil)
	if err != nil {
		t.Fatal(err)
	}
	return injection.Status
}

// TestTemplatesFollowTheTenant: after every change, the template equals a new
// one.
func TestTemplatesFollowTheTenant(t *testing.T) {
	t.Parallel()
	c := newTemplates(t)
	tenant := tenantFixture("client-a", 3129)
	tenant.UID = "first"
	changed := tenantFixture("client-a", 3130)
	changed.UID, changed.Generation = "first", 2
	again := tenantFixture("client-a", 3131)
	again.UID = "second"
	other := tenantFixture("client-b", 3129)
	other.UID = "other"
	for _, step := range []struct {
		what      string
		tenant    *v1alpha1.EgressTenant
		namespace string
	}{
		{"first", tenant, "orders"},
		{"the same", tenant, "orders"},
		{"another namespace", tenant, "billing"},
		{"with a Service", served(tenant, "10.32.4.31"), "orders"},
		{"the Service has another address", served(tenant, "10.32.4.32"), "orders"},
		{"spec changed", changed, "orders"},
		{"made again under its name", again, "orders"},
		{"namespace of another tenant", other, "orders"},
		{"the first again", tenant, "orders"},
	} {
		got := statusOf(t, c, step.tenant, step.namespace)
		if want := statusOf(t, newTemplates(t), step.tenant, step.namespace); got != want {
			t.Errorf("%s: %s, want %s", step.what, got, want)
		}
	}
}

// served returns the tenant with a Service.
func served(tenant *v1alpha1.EgressTenant, address string) *v1alpha1.EgressTenant {
	served := tenant.DeepCopy()
	served.Status.ServiceIP = address
	served.Status.Conditions = []metav1.Condition{{Type: names.ConditionServiceReady, Status: metav1.ConditionTrue}}
	return served
}

func TestTemplatesAreCached(t *testing.T) {
	t.Parallel()
	c := newTemplates(t)
	tenant := tenantFixture("client-a", 3129)
	first, err := c.of(tenant, "orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := c.of(tenant.DeepCopy(), "orders", nil); err != nil || second != first {
		t.Errorf("computed again, error %v", err)
	}
	if other, err := c.of(tenant, "orders", &inject.Neighbours{}); err != nil || other == first {
		t.Errorf("not computed again for other neighbours, error %v", err)
	}
}

func TestTemplatesAreBounded(t *testing.T) {
	t.Parallel()
	c := newTemplates(t)
	tenant := tenantFixture("client-a", 3129)
	for i := range maxNamespaces + 10 {
		if _, err := c.of(tenant, fmt.Sprintf("preview-%d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(c.cache.values); got > maxNamespaces || got == 0 {
		t.Errorf("%d are held, want at most %d, and the latest", got, maxNamespaces)
	}
}

func TestInvalidTemplateIsNotCached(t *testing.T) {
	t.Parallel()
	c := newTemplates(t)
	if _, err := c.of(tenantFixture("client-a", 80), "orders", nil); err == nil || len(c.cache.values) > 0 {
		t.Errorf("error %v, %d held", err, len(c.cache.values))
	}
}
