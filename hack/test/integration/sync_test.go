package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A second synchronisation changes nothing: neither the chart's release by Helm, as
// Flux does it, nor its manifests by server-side apply, as Argo CD does it. Between the
// two, kubectl sees no difference.
func TestSecondSyncChangesNothing(t *testing.T) {
	release := shared.webhook.release
	manifests, err := release.Template(t.Context(), "v1.37.2")
	if err != nil {
		t.Fatal(err)
	}
	objects := decoded(t, []byte(manifests))
	for name, sync := range map[string]func() error{
		"Helm": func() error { return release.Upgrade(t.Context()) },
		"server-side apply": func() error {
			_, err := shared.cluster.Kubectl(t.Context(), strings.NewReader(manifests), "apply", "--server-side", "--force-conflicts", "--field-manager="+syncManager, "-f", "-")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { forgetManager(t, objects) })
			if err := sync(); err != nil {
				t.Fatal(err)
			}
			before := generations(t, objects)
			if err := sync(); err != nil {
				t.Fatal(err)
			}
			after := generations(t, objects)
			for object, version := range after {
				if before[object] != version {
					t.Errorf("the second synchronisation changes %s: version %s, before %s", object, version, before[object])
				}
			}
			if len(after) < 20 {
				t.Errorf("only %d objects", len(after))
			}
			// kubectl reads each object twice. A status that was written in between is a
			// difference, too.
			eventually(t, "kubectl diff", func(ctx context.Context) (bool, string) {
				out, err := shared.cluster.Kubectl(ctx, strings.NewReader(manifests), "diff", "--server-side", "--force-conflicts", "--field-manager="+syncManager, "-f", "-")
				return err == nil, fmt.Sprintf("%v\n%s", err, out)
			})
		})
	}
}

// syncManager is the field manager of Argo CD.
const syncManager = "argocd-controller"

// selfWritten are kinds whose controllers write a status at any time. Of these, the
// generation is compared, which a change of the spec increases.
var selfWritten = []string{"Deployment", "EgressTenant", "Certificate", "Issuer", "PodDisruptionBudget", "ValidatingAdmissionPolicy"}

// generations returns the version of each object that a synchronisation would change.
func generations(t *testing.T, objects []*unstructured.Unstructured) map[string]string {
	t.Helper()
	versions := map[string]string{}
	for _, object := range objects {
		got := current(t, object)
		name := object.GetKind() + " " + object.GetName()
		versions[name] = got.GetResourceVersion()
		if slices.Contains(selfWritten, object.GetKind()) {
			versions[name] = fmt.Sprint("generation ", got.GetGeneration())
		}
	}
	return versions
}

func current(t *testing.T, object *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	got := &unstructured.Unstructured{}
	got.SetGroupVersionKind(object.GroupVersionKind())
	if err := shared.client.Get(t.Context(), client.ObjectKeyFromObject(object), got); err != nil {
		t.Fatal(err)
	}
	return got
}

// forgetManager removes the fields of Argo CD's manager: it would conflict with the
// upgrades of later tests.
func forgetManager(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	for _, object := range objects {
		got := &unstructured.Unstructured{}
		got.SetGroupVersionKind(object.GroupVersionKind())
		eventuallyAfter(t, "the fields of "+object.GetName(), func(ctx context.Context) error {
			if err := shared.client.Get(ctx, client.ObjectKeyFromObject(object), got); err != nil {
				return err
			}
			kept := slices.DeleteFunc(got.GetManagedFields(), func(entry metav1.ManagedFieldsEntry) bool { return entry.Manager == syncManager })
			if len(kept) == len(got.GetManagedFields()) {
				return nil
			}
			got.SetManagedFields(kept)
			return shared.client.Update(ctx, got)
		})
	}
}

// eventuallyAfter is for cleanups, which run after the test's context has ended.
func eventuallyAfter(t *testing.T, what string, try func(context.Context) error) {
	t.Helper()
	var err error
	for range conflicts.Steps {
		if err = try(context.WithoutCancel(t.Context())); err == nil {
			return
		}
		time.Sleep(conflicts.Duration)
	}
	t.Errorf("%s: %v", what, err)
}
