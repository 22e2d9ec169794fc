package integration

import (
	"context"
	"fmt"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// object reads a manifest. The object is in the namespace, or is the namespace
// itself if the manifest has no name.
func object(manifest, namespace string) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(manifest), &u.Object); err != nil {
		return nil, fmt.Errorf("%w in %s", err, manifest)
	}
	switch {
	case u.GetKind() != "Namespace":
		u.SetNamespace(namespace)
	case u.GetName() == "":
		u.SetName(namespace)
	}
	return u, nil
}

// create sends a manifest.
func create(manifest string) request {
	return func(ctx context.Context, c client.Client, namespace string) error {
		u, err := object(manifest, namespace)
		if err != nil {
			return err
		}
		return c.Create(ctx, u)
	}
}

// apply applies a manifest server-side, by force.
func apply(manifest string) request {
	return patch(manifest, types.ApplyPatchType, manifest, client.FieldOwner("attacker"), client.ForceOwnership)
}

// merge patches the object of the head, which has kind and name.
func merge(head, change string) request { return patch(head, types.MergePatchType, change) }

func patch(head string, format types.PatchType, change string, options ...client.PatchOption) request {
	return func(ctx context.Context, c client.Client, namespace string) error {
		u, body, err := patchOf(head, change, namespace)
		if err != nil {
			return err
		}
		return c.Patch(ctx, u, client.RawPatch(format, body), options...)
	}
}

// mergeStatus patches the same object through its subresource status.
func mergeStatus(head, change string) request {
	return func(ctx context.Context, c client.Client, namespace string) error {
		u, body, err := patchOf(head, change, namespace)
		if err != nil {
			return err
		}
		return c.Status().Patch(ctx, u, client.RawPatch(types.MergePatchType, body))
	}
}

func patchOf(head, change, namespace string) (*unstructured.Unstructured, []byte, error) {
	u, err := object(head, namespace)
	if err != nil {
		return nil, nil, err
	}
	body, err := yaml.YAMLToJSON([]byte(change))
	return u, body, err
}

// remove deletes the object of the head.
func remove(head string, options ...client.DeleteOption) request {
	return func(ctx context.Context, c client.Client, namespace string) error {
		u, err := object(head, namespace)
		if err != nil {
			return err
		}
		return c.Delete(ctx, u, options...)
	}
}

// prepared sends requests as the administrator.
func prepared(requests ...request) func(*testing.T, string) {
	return func(t *testing.T, namespace string) {
		t.Helper()
		for _, request := range requests {
			if err := request(t.Context(), shared.client, namespace); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// right is one rule of RBAC.
func right(group, resource string, verbs ...string) []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}}
}
