package scaleway

import (
	"context"
	"errors"
	"slices"

	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

// planCheck checks the resources that a plan creates, and some of its changes.
type planCheck struct {
	cloud *Cloud
	spec  stack.Spec
	plan  *stack.Plan
	// typesByZone are the server types that have been requested.
	typesByZone map[scw.Zone]map[string]*instance.ServerType
}

func newPlanCheck(cloud *Cloud, spec stack.Spec, plan *stack.Plan) *planCheck {
	return &planCheck{cloud, spec, plan, map[scw.Zone]map[string]*instance.ServerType{}}
}

// Check implements stack.Cloud. It requests information only about the resources
// that the plan creates.
func (c *Cloud) Check(ctx context.Context, spec stack.Spec, plan *stack.Plan) error {
	var errs []error
	checked := newPlanCheck(c, spec, plan)
	for _, step := range plan.Steps {
		row := rowOf(step.Kind)
		creates := step.Action == stack.Create || step.Action == stack.Replace
		if row.check == nil || (!creates && !changed(step.Changes, row.rechecked...)) {
			continue
		}
		err := explain(row.check(checked, ctx, step.Resource()), step.Kind)
		// Machines in one zone have the same errors.
		if err != nil && !slices.ContainsFunc(errs, func(other error) bool { return other.Error() == err.Error() }) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, CheckPlaces(spec))...)
}

// changeInPlace returns the present value of a field that the plan changes in place.
func (p *planCheck) changeInPlace(r stack.Resource, field string) (from string, ok bool) {
	for _, step := range p.plan.Steps {
		if step.Resource() != r || step.Action != stack.Update {
			continue
		}
		for _, change := range step.Changes {
			if change.Field == field {
				return change.From, true
			}
		}
	}
	return "", false
}

// deletes reports whether the plan deletes a resource.
func (p *planCheck) deletes(id string) bool {
	return slices.ContainsFunc(p.plan.Steps, func(s *stack.Step) bool { return s.Action == stack.Delete && s.ResourceID == id })
}
