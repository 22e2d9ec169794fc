package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"

	"egress.scw/webhook/api/names"
)

// servedInterval is the time between two readings of the published schema.
const servedInterval = 250 * time.Millisecond

// ApplyAndWait applies the definition, and returns when the API server serves it:
// only then does it keep fields that are new. openAPI returns the OpenAPI document
// of the API group, in JSON. Errors of the API server are repeated until the
// context ends.
func (a *CRDApplier) ApplyAndWait(ctx context.Context, openAPI func(context.Context) ([]byte, error)) error {
	var last error
	applied := false
	err := wait.PollUntilContextCancel(ctx, servedInterval, true, func(ctx context.Context) (bool, error) {
		if !applied {
			if last = a.apply(ctx); last != nil {
				return false, nil //nolint:nilerr // repeated; the last error is returned in the end
			}
			applied = true
		}
		var document []byte
		if document, last = openAPI(ctx); last != nil {
			return false, nil //nolint:nilerr // as above
		}
		var served bool
		served, last = a.isServed(document)
		return served, nil
	})
	if err != nil && last != nil {
		return fmt.Errorf("%w: %w", err, last)
	}
	return err
}

// isServed reports whether the document has every field of the definition.
func (a *CRDApplier) isServed(document []byte) (bool, error) {
	var published struct {
		Components struct {
			Schemas map[string]map[string]any `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(document, &published); err != nil {
		return false, fmt.Errorf("reading the OpenAPI document of the API server: %w", err)
	}
	wanted, err := fieldsOf(a.crd)
	if err != nil {
		return false, err
	}
	for _, schema := range published.Components.Schemas {
		if kinds, ok := schema["x-kubernetes-group-version-kind"].([]any); !ok || !hasKind(kinds, names.KindEgressTenant) {
			continue
		}
		properties, _ := schema["properties"].(map[string]any)
		return covers(properties, wanted), nil
	}
	return false, nil
}

// fieldsOf returns the properties in the schema of a definition.
func fieldsOf(definition *unstructured.Unstructured) (map[string]any, error) {
	versions, _, err := unstructured.NestedSlice(definition.Object, "spec", "versions")
	if err != nil || len(versions) != 1 {
		return nil, fmt.Errorf("the definition has %d versions, want 1 (%w)", len(versions), err)
	}
	fields, _, err := unstructured.NestedMap(versions[0].(map[string]any), "schema", "openAPIV3Schema", "properties")
	if err != nil {
		return nil, fmt.Errorf("reading the schema of the definition: %w", err)
	}
	return fields, nil
}

func hasKind(kinds []any, kind string) bool {
	for _, each := range kinds {
		if fields, ok := each.(map[string]any); ok && fields["kind"] == kind {
			return true
		}
	}
	return false
}

// covers reports whether the published properties have all of the wanted ones, and
// theirs. metadata is published as a reference.
func covers(published, wanted map[string]any) bool {
	for name, value := range wanted {
		mine, _ := value.(map[string]any)
		theirs, ok := published[name].(map[string]any)
		if !ok {
			return false
		}
		if name == "metadata" {
			continue
		}
		for _, part := range []string{"properties", "items"} {
			inner, ok := mine[part].(map[string]any)
			if !ok {
				continue
			}
			outer, _ := theirs[part].(map[string]any)
			if part == "items" {
				inner, outer = map[string]any{"": inner}, map[string]any{"": outer}
			}
			if !covers(outer, inner) {
				return false
			}
		}
	}
	return true
}
