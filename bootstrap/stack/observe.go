package stack

import (
	"context"
	"errors"
	"slices"
)

// ObserveAndPlan observes the stack and plans the changes that it needs. If the
// configuration is impossible for the observed resources, it returns them
// together with the error.
//
// An observation takes many requests, and another run may create resources
// meanwhile. It can contain a server, for example, but not the server's network,
// because it listed the networks before that run created one. So a plan that
// deletes or replaces anything is accepted only if a second observation leads to
// the same plan.
func ObserveAndPlan(ctx context.Context, cloud Cloud, spec Spec) (*Observed, *Plan, error) {
	// Resources seen once, and the resources that they need, are seen by every
	// later observation. So three rounds suffice unless another run is deleting;
	// five leave a margin.
	const rounds = 5
	var observed *Observed
	var last *Plan
	for range rounds {
		var err error
		observed, err = cloud.Observe(ctx, spec)
		if err != nil {
			return nil, nil, err
		}
		plan, err := Diff(spec, observed)
		if err != nil {
			return observed, nil, err
		}
		if !plan.removesAnything() || (last != nil && plan.hasSameSteps(last)) {
			return observed, plan, nil
		}
		last = plan
	}
	return observed, nil, errors.New("the existing resources change with each observation: another run is changing them; run this again when that run has ended")
}

// removesAnything reports whether the plan deletes or replaces a resource.
func (p *Plan) removesAnything() bool {
	return slices.ContainsFunc(p.Steps, func(s *Step) bool { return s.Action == Delete || s.Action == Replace })
}

// hasSameSteps reports whether two plans do the same to the same resources.
func (p *Plan) hasSameSteps(other *Plan) bool {
	return slices.EqualFunc(p.Steps, other.Steps, func(a, b *Step) bool {
		return a.ID == b.ID && a.Action == b.Action && a.ResourceID == b.ResourceID
	})
}
