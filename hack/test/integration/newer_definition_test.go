package integration

import (
	"context"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// TestNewerDefinitionStays: in the middle of an upgrade, a replica of before begins to
// lead. It does not take a field away that the Job has added, and that a tenant uses. The
// newer definition is that of today with a further field.
func TestNewerDefinitionStays(t *testing.T) {
	definition := definitionOfTenants(t)
	t.Cleanup(func() { changeDefinition(t, func(spec map[string]any) { delete(spec, "later") }) })
	changeDefinition(t, func(spec map[string]any) { spec["later"] = map[string]any{"type": "string"} })
	name := "newer-definition"
	content := func() *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "egress.scw/v1alpha1", "kind": "EgressTenant", "metadata": map[string]any{"name": name},
			"spec": map[string]any{"path": "Gateway", "later": "kept"},
		}}
	}
	eventually(t, "the API server to accept the field", func(ctx context.Context) (bool, string) {
		err := shared.client.Create(ctx, content(), client.FieldValidation("Strict"))
		return err == nil, fmt.Sprint(err)
	})
	t.Cleanup(func() { _ = shared.client.Delete(context.WithoutCancel(t.Context()), content()) })

	restartWebhook(t)
	// The new leader writes the status of a tenant that has just been made.
	led := v1alpha1.EgressTenant{ObjectMeta: metav1.ObjectMeta{Name: "newer-definition-led"}, Spec: v1alpha1.EgressTenantSpec{Path: v1alpha1.PathGateway}}
	if err := shared.client.Create(t.Context(), &led); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = shared.client.Delete(context.WithoutCancel(t.Context()), &led) })
	eventually(t, "the new leader", func(ctx context.Context) (bool, string) {
		err := shared.client.Get(ctx, client.ObjectKeyFromObject(&led), &led)
		return err == nil && len(led.Status.Conditions) > 0, fmt.Sprintf("%+v %v", led.Status, err)
	})
	if err := shared.client.Patch(t.Context(), content(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"a":"b"}}}`))); err != nil {
		t.Fatal(err)
	}
	stored := content()
	if err := shared.client.Get(t.Context(), client.ObjectKeyFromObject(stored), stored); err != nil {
		t.Fatal(err)
	}
	if later, _, _ := unstructured.NestedString(stored.Object, "spec", "later"); later != "kept" {
		t.Errorf("the tenant has lost its field: %v", stored.Object["spec"])
	}
	if err := shared.client.Get(t.Context(), client.ObjectKeyFromObject(definition), definition); err != nil {
		t.Fatal(err)
	}
	if _, has := specProperties(t, definition)["later"]; !has {
		t.Error("the definition has lost the field")
	}
}

func definitionOfTenants(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	definition := &unstructured.Unstructured{}
	definition.SetAPIVersion("apiextensions.k8s.io/v1")
	definition.SetKind("CustomResourceDefinition")
	definition.SetName("egresstenants." + names.Group)
	if err := shared.client.Get(context.WithoutCancel(t.Context()), client.ObjectKeyFromObject(definition), definition); err != nil {
		t.Fatal(err)
	}
	return definition
}

// specProperties returns the properties of spec in the only version of a definition. They
// are a part of it.
func specProperties(t *testing.T, definition *unstructured.Unstructured) map[string]any {
	t.Helper()
	versions, _, err := unstructured.NestedFieldNoCopy(definition.Object, "spec", "versions")
	if err != nil {
		t.Fatal(err)
	}
	properties, found, err := unstructured.NestedFieldNoCopy(versions.([]any)[0].(map[string]any), "schema", "openAPIV3Schema", "properties", "spec", "properties")
	if err != nil || !found {
		t.Fatalf("the definition has no spec: %v", err)
	}
	return properties.(map[string]any)
}

// changeDefinition changes the properties of spec of EgressTenants. A leader that has just
// begun may apply the definition at the same time.
func changeDefinition(t *testing.T, change func(spec map[string]any)) {
	t.Helper()
	if err := retry.RetryOnConflict(conflicts, func() error {
		definition := definitionOfTenants(t)
		change(specProperties(t, definition))
		return shared.client.Update(context.WithoutCancel(t.Context()), definition)
	}); err != nil {
		t.Fatal(err)
	}
}
