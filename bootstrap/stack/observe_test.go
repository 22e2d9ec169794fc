package stack

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// views is a Cloud of which each look shows something else, the last for ever.
type views struct {
	memory

	shown []*Observed
	looks int
}

func (v *views) Observe(context.Context, Spec) (*Observed, error) {
	v.looks++
	observed := v.shown[min(v.looks, len(v.shown))-1]
	if observed == nil {
		return nil, errLook
	}
	return observed, nil
}

var errLook = errors.New("nobody can look")

// without is what a look shows that is made of parts of different ages.
func without(observed *Observed, kinds ...Kind) *Observed {
	kept := slices.DeleteFunc(slices.Clone(observed.Resources), func(r Resource) bool { return slices.Contains(kinds, r.Key().Kind) })
	return &Observed{Resources: kept}
}

// What takes anything away is planned only if two looks in a row agree on it.
func TestObserveAndPlan(t *testing.T) {
	t.Parallel()
	spec := newSpec(t)
	whole, err := filled(t, spec).Observe(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	noServer := without(whole, KindServer, KindPrivateNIC, KindAttachment, KindUserData, KindPower, KindVolume)
	noVPC := without(whole, KindVPC) // its network would be replaced
	noNetwork := without(whole, KindVPC, KindPrivateNetwork)
	twoGroups := &Observed{Resources: append(slices.Clone(whole.Resources), &SecurityGroup{Role: roleProxy, ResourceMeta: ResourceMeta{ID: "young", Name: "young", CreatedAt: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}})}
	for _, c := range []struct {
		name  string
		shown []*Observed
		looks int
		takes bool   // the plan takes something away
		empty bool   // there is nothing to do
		err   string // in the error; empty: none
	}{
		{"nothing to do", []*Observed{whole}, 1, false, true, ""},
		{"something to make", []*Observed{noServer}, 1, false, false, ""},
		{"half made, then whole", []*Observed{noVPC, whole}, 2, false, true, ""},
		{"half made differently, then whole", []*Observed{noVPC, noNetwork, whole}, 3, false, true, ""},
		{"really to be taken away", []*Observed{twoGroups, twoGroups}, 2, true, false, ""},
		{"half made, then one too many", []*Observed{noVPC, twoGroups}, 3, true, false, ""},
		{"never twice the same", []*Observed{noVPC, twoGroups, noVPC, twoGroups, noVPC, twoGroups}, 5, false, false, "another run is changing them"},
		{"no second look", []*Observed{noVPC, nil}, 2, false, false, errLook.Error()},
	} {
		cloud := &views{shown: c.shown}
		_, plan, err := ObserveAndPlan(t.Context(), cloud, spec)
		if cloud.looks != c.looks {
			t.Errorf("%s: %d looks, want %d", c.name, cloud.looks, c.looks)
		}
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: the error is %v, want %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if plan.removesAnything() != c.takes || plan.Empty() != c.empty {
			t.Errorf("%s: the plan takes something away: %t, is empty: %t", c.name, plan.removesAnything(), plan.Empty())
		}
	}
}
