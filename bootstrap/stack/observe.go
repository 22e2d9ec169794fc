package stack

import (
	"context"
	"errors"
	"slices"
)

// ObserveAndPlan looks at what exists of a set-up, and plans what makes it what is wanted.
// There may be an error and what exists, for which the configuration is
// impossible then.
//
// It takes many requests to look at everything, and meanwhile another run may
// make something: a server is seen then, say, and the network that it is in is
// not, because that was looked for before it was made. So a plan that takes
// anything away is only believed when a second look comes to the same.
func ObserveAndPlan(ctx context.Context, cloud Cloud, spec Spec) (*Observed, *Plan, error) {
	// What a look has seen, and all that it needs, the next one sees. More than
	// three takes a run that deletes meanwhile.
	const enough = 5
	var observed *Observed
	var last *Plan
	for range enough {
		var err error
		observed, err = cloud.Observe(ctx, spec)
		if err != nil {
			return nil, nil, err
		}
		plan, err := Diff(spec, observed)
		if err != nil {
			return observed, nil, err
		}
		if !plan.takesAway() || (last != nil && plan.sameSteps(last)) {
			return observed, plan, nil
		}
		last = plan
	}
	return observed, nil, errors.New("what exists changes with each look: another run is changing it; run this again when that one has ended")
}

// takesAway says whether the plan deletes or replaces anything.
func (p *Plan) takesAway() bool {
	return slices.ContainsFunc(p.Steps, func(s *Step) bool { return s.Action == Delete || s.Action == Replace })
}

// sameSteps says whether two plans do the same to the same resources.
func (p *Plan) sameSteps(other *Plan) bool {
	return slices.EqualFunc(p.Steps, other.Steps, func(a, b *Step) bool {
		return a.ID == b.ID && a.Action == b.Action && a.ResourceID == b.ResourceID
	})
}
