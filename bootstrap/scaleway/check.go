package scaleway

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

// planCheck checks the resources that a plan creates.
type planCheck struct {
	cloud *Cloud
	plan  *stack.Plan
	// typesByZone are the server types that have been requested.
	typesByZone map[scw.Zone]map[string]*instance.ServerType
}

func newPlanCheck(cloud *Cloud, plan *stack.Plan) *planCheck {
	return &planCheck{cloud, plan, map[scw.Zone]map[string]*instance.ServerType{}}
}

// Check implements stack.Cloud. It requests information only about the resources
// that the plan creates.
func (c *Cloud) Check(ctx context.Context, spec stack.Spec, plan *stack.Plan) error {
	var errs []error
	checked := newPlanCheck(c, plan)
	for _, step := range plan.Steps {
		if step.Action != stack.Create && step.Action != stack.Replace {
			continue
		}
		if check := rowOf(step.Kind).check; check != nil {
			errs = append(errs, explain(check(checked, ctx, step.Resource()), step.Kind))
		}
	}
	return errors.Join(append(errs, CheckPlace(spec.Zone, spec.Region))...)
}

// deletes reports whether the plan deletes a resource.
func (p *planCheck) deletes(id string) bool {
	return slices.ContainsFunc(p.plan.Steps, func(s *stack.Step) bool { return s.Action == stack.Delete && s.ResourceID == id })
}

// CheckPlace returns an error if Scaleway does not have the zone or the region. The
// error lists those that exist. An empty zone or region is not checked.
func CheckPlace(zone, region string) error {
	var errs []error
	if zone != "" && !slices.Contains(scw.AllZones, scw.Zone(zone)) {
		errs = append(errs, fmt.Errorf("spec.zone: there is no zone %s: there are %v", zone, scw.AllZones))
	}
	if region != "" && !slices.Contains(scw.AllRegions, scw.Region(region)) {
		errs = append(errs, fmt.Errorf("spec.region: there is no region %s: there are %v", region, scw.AllRegions))
	}
	return errors.Join(errs...)
}
