package stack

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// views is a Cloud with a different result for each observation. The last one is
// repeated.
type views struct {
	memory

	shown        []*Observed
	observations int
}

func (v *views) Observe(context.Context, Spec) (*Observed, error) {
	v.observations++
	observed := v.shown[min(v.observations, len(v.shown))-1]
	if observed == nil {
		return nil, errObservation
	}
	return observed, nil
}

var errObservation = errors.New("the observation fails")

// without returns an observation that lacks some kinds, because its parts are of
// different ages.
func without(observed *Observed, kinds ...Kind) *Observed {
	kept := slices.DeleteFunc(slices.Clone(observed.Resources), func(r Resource) bool { return slices.Contains(kinds, r.Key().Kind) })
	return &Observed{Resources: kept}
}

// A plan that deletes or replaces anything is accepted only if two observations in a row
// lead to it.
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
		name         string
		shown        []*Observed
		observations int
		takes        bool   // the plan deletes or replaces something
		empty        bool   // there is nothing to do
		err          string // in the error; empty: none
	}{
		{"nothing to do", []*Observed{whole}, 1, false, true, ""},
		{"something to create", []*Observed{noServer}, 1, false, false, ""},
		{"incomplete, then complete", []*Observed{noVPC, whole}, 2, false, true, ""},
		{"incomplete in two ways, then complete", []*Observed{noVPC, noNetwork, whole}, 3, false, true, ""},
		{"really to be deleted", []*Observed{twoGroups, twoGroups}, 2, true, false, ""},
		{"incomplete, then one too many", []*Observed{noVPC, twoGroups}, 3, true, false, ""},
		{"never the same twice", []*Observed{noVPC, twoGroups, noVPC, twoGroups, noVPC, twoGroups}, 5, false, false, "another run is changing them"},
		{"the second observation fails", []*Observed{noVPC, nil}, 2, false, false, errObservation.Error()},
	} {
		cloud := &views{shown: c.shown}
		_, plan, err := ObserveAndPlan(t.Context(), cloud, spec)
		if cloud.observations != c.observations {
			t.Errorf("%s: %d observations, want %d", c.name, cloud.observations, c.observations)
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
			t.Errorf("%s: the plan removes something: %t, is empty: %t", c.name, plan.removesAnything(), plan.Empty())
		}
	}
}
