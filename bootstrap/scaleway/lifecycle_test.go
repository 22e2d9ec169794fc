package scaleway

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// After an apply, a change and a destroy, the project is the same as before, including
// the resources of other owners.
func TestLifecycle(t *testing.T) {
	f := serve(t, scwfake.Options{})
	before := f.Inventory()
	spec := newSpec(t)
	cloud := f.cloud(t.Context(), t, spec)

	first, err := apply(t.Context(), cloud, spec)
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Steps) != len(first.Graph.Resources()) {
		t.Errorf("the first plan has %d steps for %d resources", len(first.Steps), len(first.Graph.Resources()))
	}
	requireNothingToDo(t, cloud, spec)

	changed := newSpec(t,
		"sshSources: [192.0.2.0/24]", "sshSources: [192.0.2.0/25]",
		"nodeType: PRO2-XXS, size: 2", "nodeType: PRO2-XXS, size: 3, labels: {team: core}",
		"{name: client-a, proxy: {port: 3129}}", "{name: client-a, proxy: {port: 3131}}")
	second, err := apply(t.Context(), cloud, changed)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"update security-group/proxy; rules: accept tcp/22 from 192.0.2.0/24 -> accept tcp/22 from 192.0.2.0/25",
		"update user-data/proxy/squid-conf; tenant client-a: " + revision(spec, "client-a") + " -> " + revision(changed, "client-a"),
		"update pool/system; labels: none -> team=core; size: 2 -> 3",
	}
	if diff := cmp.Diff(want, stepsOf(second)); diff != "" {
		t.Errorf("plan of the change: -want +got\n%s", diff)
	}
	requireNothingToDo(t, cloud, changed)

	if err := destroy(t.Context(), cloud, changed); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, f.Inventory()); diff != "" {
		t.Errorf("left after destroy: -before +after\n%s", diff)
	}
}

func requireNothingToDo(t *testing.T, cloud *Cloud, spec stack.Spec) {
	t.Helper()
	plan, err := plan(t.Context(), cloud, spec)
	if err != nil {
		t.Fatal(err)
	}
	if !plan.Empty() {
		t.Fatalf("still to do: %q", stepsOf(plan))
	}
}

func revision(spec stack.Spec, name string) string {
	for _, tenant := range spec.Tenants {
		if tenant.Name == name {
			return tenant.Revision()
		}
	}
	return ""
}
