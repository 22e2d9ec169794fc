package controller

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"egress.scw/charts"
)

// openAPIOf returns the document that the API server publishes for the definition,
// changed.
func openAPIOf(t *testing.T, applier *CRDApplier, change func(spec map[string]any)) []byte {
	t.Helper()
	versions, _, err := unstructured.NestedSlice(applier.crd.DeepCopy().Object, "spec", "versions")
	if err != nil {
		t.Fatal(err)
	}
	schema, _, err := unstructured.NestedMap(versions[0].(map[string]any), "schema", "openAPIV3Schema")
	if err != nil {
		t.Fatal(err)
	}
	schema["x-kubernetes-group-version-kind"] = []any{map[string]any{"group": "egress.scw", "kind": "EgressTenant", "version": "v1alpha1"}}
	properties := schema["properties"].(map[string]any)
	properties["metadata"] = map[string]any{"allOf": []any{}}
	change(properties["spec"].(map[string]any)["properties"].(map[string]any))
	document, err := json.Marshal(map[string]any{"components": map[string]any{"schemas": map[string]any{
		"scw.egress.v1alpha1.EgressTenant": schema, "other": map[string]any{},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func TestDefinitionIsServed(t *testing.T) {
	t.Parallel()
	applier, err := NewCRDApplier(nil, nil, charts.EgressTenantCRD)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(spec map[string]any)
		want   bool
	}{
		"all fields":         {func(map[string]any) {}, true},
		"a further field":    {func(spec map[string]any) { spec["later"] = map[string]any{} }, true},
		"a field is missing": {func(spec map[string]any) { delete(spec, "nodePool") }, false},
		"a field in a list is missing": {func(spec map[string]any) {
			access := spec["clusterAccess"].(map[string]any)["items"].(map[string]any)
			delete(access["properties"].(map[string]any), "apiServer")
		}, false},
	} {
		if got, err := applier.isServed(openAPIOf(t, applier, test.change)); got != test.want || err != nil {
			t.Errorf("%s: served: %t, want %t (%v)", name, got, test.want, err)
		}
	}
	if got, err := applier.isServed([]byte(`{"components": {"schemas": {}}}`)); got || err != nil {
		t.Errorf("without the kind: served: %t (%v)", got, err)
	}
	if _, err := applier.isServed([]byte(`no`)); err == nil {
		t.Error("an answer that is not JSON is accepted")
	}
}

// TestApplyAndWait: the definition is applied once it can be, and waited for.
func TestApplyAndWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var applied []string
		applier, err := NewCRDApplier(definitionAPI(t, 2, &applied), definitionOf(nil), charts.EgressTenantCRD)
		if err != nil {
			t.Fatal(err)
		}
		served := time.Now().Add(5 * time.Second)
		err = applier.ApplyAndWait(t.Context(), func(context.Context) ([]byte, error) {
			if time.Now().Before(served) {
				return openAPIOf(t, applier, func(spec map[string]any) { delete(spec, "nodePool") }), nil
			}
			return openAPIOf(t, applier, func(map[string]any) {}), nil
		})
		if err != nil || len(applied) != 3 || time.Now().Before(served) {
			t.Errorf("error %v, applied %d times, served already: %t", err, len(applied), !time.Now().Before(served))
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err = applier.ApplyAndWait(ctx, func(context.Context) ([]byte, error) { return nil, errors.New("connection refused") })
		if err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("error is %v, want the last one of the API server", err)
		}
	})
}
