package watch

import (
	"fmt"
	"slices"
	"strings"

	"egress.scw/bootstrap/stack"
	"egress.scw/webhook/api/names"
)

// Permissions are the flags that permit what a person would be asked about.
type Permissions struct {
	// Replace permits replacing resources that cannot be changed in place.
	Replace bool
	// Delete permits deleting resources that egress.yaml no longer contains.
	Delete bool
}

// Situation is a plan, with the facts that its permission depends on.
type Situation struct {
	Plan *stack.Plan
	// Observed are the existing resources.
	Observed *stack.Observed
	// Removed are the names of EgressTenants whose removal was seen, and which egress.yaml
	// does not have either.
	Removed map[string]bool
	// LeftOut are the EgressTenants that the plan does not contain.
	LeftOut []LeftOut
	// NoAuthority is whether the plan is for machines that serve sidecars, without the
	// authority that signs their certificates: the cluster has not published it.
	NoAuthority bool
	Permissions
}

// Decision is the result of Decide.
type Decision struct {
	// Blocked are the reasons for which the plan must not be carried out. None: it may
	// be, unless it is empty.
	Blocked []string
	// Steps is the number of steps that are not permitted.
	Steps int
	// Plan is the plan to carry out: without the deletions of Kept.
	Plan *stack.Plan
	// Kept are the volumes of machines that are gone, and are kept.
	Kept []string
}

// Decide permits or blocks a plan as a whole: a part of it could leave the stack in a
// state that no egress.yaml describes. Blocked are replacements and deletions without
// their permission, the creation of a whole stack, which a person starts, the end of a
// tenant's service, or of its address, because its EgressTenant is left out, and the end of
// the service of sidecars because their authority is missing from the cluster.
//
// The volume of a machine that is gone is kept without the permission to delete: it has
// the audit log. No other step needs its deletion, so that the machine can be made again.
//
// The deletion of the address of a tenant is permitted if the removal of its
// EgressTenant was seen. An EgressTenant that is missing for another reason, such as
// another cluster, costs no address, which could not be obtained again.
func Decide(s Situation) Decision {
	d := Decision{Plan: s.Plan}
	if s.Plan.Empty() {
		return d
	}
	if !anyManaged(s.Observed) {
		d.Steps = len(s.Plan.Steps)
		d.Blocked = []string{"no resource of this stack exists: are name, project and credentials right? bootstrap apply creates a stack"}
		return d
	}
	d.Plan = &stack.Plan{Graph: s.Plan.Graph}
	for _, step := range s.Plan.Steps {
		if !s.Delete && isLeftVolume(step) && !isNeeded(step, s.Plan) {
			d.Kept = append(d.Kept, step.Name+" "+step.ResourceID)
			continue
		}
		d.Plan.Steps = append(d.Plan.Steps, step)
		if reason := s.blocks(step); reason != "" {
			d.Steps++
			d.Blocked = append(d.Blocked, reason)
		}
	}
	return d
}

// isLeftVolume reports whether a step deletes the volume of a machine that is gone.
func isLeftVolume(step *stack.Step) bool {
	volume, ok := step.Resource().(*stack.Volume)
	return ok && step.Action == stack.Delete && volume.Server == nil && !volume.Deleting
}

func isNeeded(step *stack.Step, plan *stack.Plan) bool {
	return slices.ContainsFunc(plan.Steps, func(other *stack.Step) bool { return slices.Contains(other.Needs, step.ID) })
}

// blocks returns the reason for which a step is not permitted; empty if it is.
func (s Situation) blocks(step *stack.Step) string {
	name := strings.TrimSpace(stack.Key{Kind: step.Kind, Role: step.Role}.String() + " " + step.Name)
	switch step.Action {
	case stack.Replace:
		if !s.Replace {
			return "replaces " + name + ": needs --allow-replace"
		}
	case stack.Delete:
		if tenant := s.endsAddress(step); tenant != "" {
			return fmt.Sprintf("deletes the address of tenant %s, whose EgressTenant is left out: correct it", tenant)
		}
		if !s.Delete && !s.implied(step) {
			return "deletes " + name + ": needs --allow-delete"
		}
	case stack.Update:
		if s.endsSidecars(step) {
			return fmt.Sprintf("ends the service of sidecars by %s: the ConfigMap %s, which the webhook writes, has no authority: restore it, or set spec.proxy.authority or spec.proxy.identity",
				step.Name, names.AuthorityConfigMap)
		}
		if tenant := s.endsService(step); tenant != "" {
			return fmt.Sprintf("ends the service of tenant %s, whose EgressTenant is left out: correct it", tenant)
		}
	case stack.Create, stack.Drain: // which is for a deletion or replacement
	}
	return ""
}

// implied reports whether a deletion follows from something else: from a replacement, which
// is judged itself, and at whose end the temporary machine goes, from a deletion that has
// begun, or from the removal of an EgressTenant.
func (s Situation) implied(step *stack.Step) bool {
	if step.ReplacedResource() || step.Temporary || step.Resource().Meta().Deleting {
		return true
	}
	address, ok := step.Resource().(*stack.FlexibleIP)
	return ok && s.Removed[address.Tenant()]
}

// endsService returns a tenant that the step takes from the machine although its
// EgressTenant exists, or an empty string.
func (s Situation) endsService(step *stack.Step) string {
	if step.Kind != stack.KindUserData {
		return ""
	}
	for _, left := range s.LeftOut {
		if slices.ContainsFunc(step.Changes, func(c stack.Change) bool {
			return c.Field == "tenant "+left.Tenant.Name && c.To == ""
		}) {
			return left.Tenant.Name
		}
	}
	return ""
}

// endsSidecars reports whether the step takes the authority from a machine because the
// cluster does not publish it any more.
func (s Situation) endsSidecars(step *stack.Step) bool {
	return s.NoAuthority && step.Kind == stack.KindUserData && slices.ContainsFunc(s.Observed.Resources, func(r stack.Resource) bool {
		observed, ok := r.(*stack.UserData)
		return ok && observed.Key() == step.Resource().Key() && observed.HasAuthority()
	})
}

// endsAddress returns the tenant whose address the step deletes although its EgressTenant
// exists, or an empty string.
func (s Situation) endsAddress(step *stack.Step) string {
	address, ok := step.Resource().(*stack.FlexibleIP)
	if ok && !address.Deleting && slices.ContainsFunc(s.LeftOut, func(left LeftOut) bool { return left.Tenant.Name == address.Tenant() }) {
		return address.Tenant()
	}
	return ""
}

// anyManaged reports whether a resource exists that bootstrap has created.
func anyManaged(observed *stack.Observed) bool {
	return slices.ContainsFunc(observed.Resources, func(r stack.Resource) bool { return !r.Meta().Existing })
}

// joined is a list of reasons in one line.
func joined(reasons []string) string { return strings.Join(reasons, "; ") }
