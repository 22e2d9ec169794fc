package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"egress.scw/webhook/api/names"
)

// chartObject is an object of the chart's release, which a test changes and puts back.
// Both are server-side applies as the field manager that Helm was: Helm applies
// server-side too, and a field of another manager would make the next upgrade fail.
type chartObject struct {
	namespace, kind, name string
	// manifest is the object as it was, without what the API server adds.
	manifest *unstructured.Unstructured
	// manager is the field manager of the release, and managers are all of them.
	manager  string
	managers sets.Set[string]
}

// takeChartObject reads an object of the release, and puts it back at the end of the
// test. An empty namespace is for objects without one.
func takeChartObject(t *testing.T, namespace, kind, name string) *chartObject {
	t.Helper()
	o := &chartObject{namespace: namespace, kind: kind, name: name}
	object, err := o.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fields := object.GetManagedFields()
	at := slices.IndexFunc(fields, func(f metav1.ManagedFieldsEntry) bool {
		return f.Operation == metav1.ManagedFieldsOperationApply && f.Subresource == "" && f.Manager != names.FieldOwner
	})
	if at < 0 {
		t.Fatalf("%s %s has no field manager that applied it: %v", kind, name, managersOf(object))
	}
	o.manager, o.managers, o.manifest = fields[at].Manager, managersOf(object), manifestOf(object)
	t.Cleanup(func() { o.putBack(t) })
	return o
}

// change applies the object after an edit.
func (o *chartObject) change(t *testing.T, edit func(*unstructured.Unstructured) error) {
	t.Helper()
	edited := o.manifest.DeepCopy()
	if err := edit(edited); err != nil {
		t.Fatal(err)
	}
	o.apply(t, edited)
}

// remove deletes the object.
func (o *chartObject) remove(t *testing.T) {
	t.Helper()
	do(t, o.args("delete")...)
}

// dropManager removes a further field manager, and with it the fields that it alone
// has applied.
func (o *chartObject) dropManager(t *testing.T, manager string) {
	t.Helper()
	empty := &unstructured.Unstructured{}
	empty.SetAPIVersion(o.manifest.GetAPIVersion())
	empty.SetKind(o.manifest.GetKind())
	empty.SetNamespace(o.namespace)
	empty.SetName(o.name)
	o.applyAs(t, manager, empty)
}

// putBack applies the object as it was, and requires that it is so, and that no further
// field manager is left.
func (o *chartObject) putBack(t *testing.T) {
	t.Helper()
	o.apply(t, o.manifest)
	eventually(t, o.kind+" "+o.name+" to have its former field managers", func() (bool, string) {
		object, err := o.get(context.WithoutCancel(t.Context()))
		if err != nil {
			return false, err.Error()
		}
		further := managersOf(object).Difference(o.managers)
		return further.Len() == 0 && hasAuthority(object), fmt.Sprintf("further managers %q, an authority in each webhook: %t", sets.List(further), hasAuthority(object))
	})
}

func (o *chartObject) apply(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	o.applyAs(t, o.manager, object)
}

func (o *chartObject) applyAs(t *testing.T, manager string, object *unstructured.Unstructured) {
	t.Helper()
	text, err := object.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	// Cleanups run after the test's context has ended.
	if _, err := shared.Kubectl(context.WithoutCancel(t.Context()), strings.NewReader(string(text)),
		"apply", "--server-side", "--force-conflicts", "--field-manager="+manager, "-f", "-"); err != nil {
		t.Error(err)
	}
}

func (o *chartObject) get(ctx context.Context) (*unstructured.Unstructured, error) {
	out, err := kubectl(ctx, append(o.args("get"), "--output=json", "--show-managed-fields")...)
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{}
	return object, object.UnmarshalJSON([]byte(out))
}

func (o *chartObject) args(verb string) []string {
	args := []string{verb, o.kind, o.name}
	if o.namespace != "" {
		args = append(args, "--namespace="+o.namespace)
	}
	return args
}

// manifestOf returns an object without the fields that are of the API server and of
// controllers: Helm must not own them afterwards.
func manifestOf(object *unstructured.Unstructured) *unstructured.Unstructured {
	manifest := object.DeepCopy()
	for _, field := range []string{"managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "finalizers"} {
		unstructured.RemoveNestedField(manifest.Object, "metadata", field)
	}
	unstructured.RemoveNestedField(manifest.Object, "metadata", "annotations", "deployment.kubernetes.io/revision")
	unstructured.RemoveNestedField(manifest.Object, "status")
	for _, client := range webhookClients(manifest) {
		delete(client, "caBundle") // cert-manager's
	}
	return manifest
}

// hasAuthority reports whether cert-manager has written its authority into each webhook
// of a webhook configuration. It is true for other kinds.
func hasAuthority(object *unstructured.Unstructured) bool {
	return !slices.ContainsFunc(webhookClients(object), func(client map[string]any) bool { return client["caBundle"] == nil })
}

// webhookClients returns clientConfig of each webhook of a webhook configuration.
func webhookClients(object *unstructured.Unstructured) []map[string]any {
	var clients []map[string]any
	webhooks, _ := object.Object["webhooks"].([]any)
	for _, webhook := range webhooks {
		fields, _ := webhook.(map[string]any)
		if client, ok := fields["clientConfig"].(map[string]any); ok {
			clients = append(clients, client)
		}
	}
	return clients
}

func managersOf(object *unstructured.Unstructured) sets.Set[string] {
	managers := sets.New[string]()
	for _, entry := range object.GetManagedFields() {
		managers.Insert(entry.Manager)
	}
	return managers
}
