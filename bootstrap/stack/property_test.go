package stack

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// requireSound demands of a plan what holds for all of them.
func requireSound(t *testing.T, plan *Plan) {
	t.Helper()
	seen := map[string]bool{}
	for _, step := range plan.Steps {
		if seen[step.ID] {
			t.Errorf("there are two steps %q", step.ID)
		}
		for _, need := range step.Needs {
			if !seen[need] {
				t.Errorf("%q needs %q, which does not come before it", step.ID, need)
			}
		}
		seen[step.ID] = true
		if step.Resource().Base().Given {
			t.Errorf("%q touches what is given", step.ID)
		}
	}
}

// requireComesTrue carries out what there is to do, eight steps at once, and
// demands that nothing is left to do and that there is one of each.
func requireComesTrue(t *testing.T, m *memory, spec Spec) {
	t.Helper()
	plan, err := m.apply(t.Context(), spec, 8)
	if err != nil {
		t.Errorf("%v\nof the plan\n%s", err, cmp.Diff(nil, lines(plan)))
		return
	}
	rest, err := m.diff(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if !rest.Empty() {
		t.Errorf("still to do after it: %q", lines(rest))
	}
	var want []string
	for _, r := range rest.Graph.Resources() {
		if !r.Base().Given {
			want = append(want, r.Key().String())
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, m.ours()); diff != "" {
		t.Errorf("there is not one of each: -want +got\n%s", diff)
	}
}
