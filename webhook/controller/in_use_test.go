package controller

import (
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/settings"
)

// TestTenantInUseIsKept: a tenant is deleted when no namespace has its label any
// more, protected namespaces included.
func TestTenantInUseIsKept(t *testing.T) {
	t.Parallel()
	for _, namespace := range []string{"web", "kube-system"} {
		t.Run(namespace, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, tenantFixture("client-a", 3129), namespaceFixture(namespace, "client-a"))
			find := func() (*v1alpha1.EgressTenant, error) {
				tenant := &v1alpha1.EgressTenant{}
				return tenant, server.Get(t.Context(), client.ObjectKey{Name: "client-a"}, tenant)
			}
			reconcileTenant(t, server, settings.EgressAddresses{})
			tenant, err := find()
			if err != nil || !slices.Contains(tenant.Finalizers, names.FinalizerInUse) {
				t.Fatalf("finalizers are %q (%v)", tenant.Finalizers, err)
			}
			if err := server.Delete(t.Context(), tenant); err != nil {
				t.Fatal(err)
			}
			_, status := reconcileTenant(t, server, settings.EgressAddresses{})
			if _, err := find(); err != nil {
				t.Fatalf("a tenant in use was deleted: %v", err)
			}
			if ready := conditionOf(t, status, names.ConditionReady); namespace == "web" && ready.Status == "True" && !strings.Contains(ready.Message, "kept until no namespace has its label: web") {
				t.Errorf("the status does not explain it: %s", ready.Message)
			}
			if err := server.Update(t.Context(), namespaceFixture(namespace, "")); err != nil {
				t.Fatal(err)
			}
			reconcileTenant(t, server, settings.EgressAddresses{})
			if _, err := find(); !apierrors.IsNotFound(err) {
				t.Errorf("a tenant that is not in use is kept (%v)", err)
			}
		})
	}
}
