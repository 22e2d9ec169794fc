package integration

import (
	"encoding/json"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/api/v1alpha1/tenantcases"
)

// TestTenantCases: the API server refuses the tenants that are not valid, as far
// as a schema can express it, and accepts all others. Validate is tested with the
// same table.
func TestTenantCases(t *testing.T) {
	for _, c := range tenantcases.All(t) {
		t.Run(c.Name, func(t *testing.T) {
			var content map[string]any
			if err := json.Unmarshal(c.Tenant, &content); err != nil {
				t.Fatal(err)
			}
			tenant := &unstructured.Unstructured{Object: content}
			tenant.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(names.KindEgressTenant))
			err := shared.client.Create(t.Context(), tenant, client.DryRunAll)
			if refused, want := err != nil, len(c.Errors) > 0 && !c.SchemaAccepts; refused != want {
				t.Errorf("refused: %t, want %t: %v", refused, want, err)
			}
		})
	}
}
