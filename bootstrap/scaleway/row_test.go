package scaleway

import (
	"slices"
	"strings"
	"testing"

	"egress.scw/bootstrap/stack"
)

// Each kind of resource has one row, in the order of the kinds. Each row creates,
// names a permission, and is observed by itself or with a kind that is.
func TestEveryKindHasARow(t *testing.T) {
	t.Parallel()
	all := rows()
	var kinds []stack.Kind
	for _, row := range all {
		kinds = append(kinds, row.kind)
		if row.create == nil || row.permission == "" {
			t.Errorf("%s cannot be created, or has no permission", row.kind)
		}
		switch {
		case (row.observe == nil) == (row.foundWith == ""):
			t.Errorf("%s is observed by itself: %t, and with %q", row.kind, row.observe != nil, row.foundWith)
		case row.foundWith != "" && rowOf(row.foundWith).observe == nil:
			t.Errorf("%s is found with %s, which is not observed", row.kind, row.foundWith)
		}
	}
	if want := stack.Kinds(); !slices.Equal(kinds, want) {
		t.Errorf("the rows are of\n%q, want\n%q", kinds, want)
	}
}

// other is a resource that is not of the type of its kind.
type other struct {
	stack.VPC
	kind stack.Kind
}

func (o *other) Key() stack.Key { return stack.Key{Kind: o.kind} }

// Operations on a resource of the wrong type, and operations that a kind lacks,
// are errors.
func TestOperationsRefuseOtherTypes(t *testing.T) {
	t.Parallel()
	cloud := &Cloud{}
	for _, kind := range append(stack.Kinds(), "unknown") {
		r := &other{kind: kind}
		for what, err := range map[string]error{
			"create": cloud.Create(t.Context(), r, silent),
			"update": cloud.Update(t.Context(), r, nil, silent),
			"delete": cloud.Delete(t.Context(), r, silent),
		} {
			if err == nil || !strings.Contains(err.Error(), string(kind)) {
				t.Errorf("%s %s: %v", what, kind, err)
			}
		}
		if check := rowOf(kind).check; check != nil && check(newPlanCheck(cloud, stack.Spec{}, &stack.Plan{}), t.Context(), r) == nil {
			t.Errorf("check %s: no error", kind)
		}
	}
}
