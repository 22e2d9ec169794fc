package stack

import (
	"cmp"
	"slices"
)

// Action is the effect of a step.
type Action string

// Replace is the second half of a replacement: the deletion of the old resource
// is a step of its own. Drain takes a machine out of the tenants' Services, and comes before
// the steps that take something of the machine away.
const (
	Create  Action = "create"
	Update  Action = "update"
	Replace Action = "replace"
	Delete  Action = "delete"
	Drain   Action = "drain"
)

// Change is a property that differs. From is empty for a new property, To for one
// that goes away.
type Change struct {
	Field string `json:"field"`
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
	// Fixed is the reason why the property cannot be changed in place. Empty: it
	// can.
	Fixed string `json:"fixed,omitempty"`
}

// Step is a part of a plan: one action on one resource.
type Step struct {
	// ID is unique in the plan.
	ID     string `json:"id"`
	Action Action `json:"action"`
	Kind   Kind   `json:"kind"`
	Role   string `json:"role,omitempty"`
	Name   string `json:"name"`
	// ResourceID is the existing resource's ID at Scaleway.
	ResourceID string   `json:"resourceID,omitempty"`
	Changes    []Change `json:"changes,omitempty"`
	// Reason is the reason of a deletion.
	Reason string `json:"reason,omitempty"`
	// Needs are the IDs of the steps that come first.
	Needs []string `json:"needs,omitempty"`
	// After are the roles of the machines that must serve their configuration before the
	// step begins; of the steps that replace a machine, and of those that move addresses
	// between machines.
	After []string `json:"after,omitempty"`
	// Temporary is whether the step makes, changes or deletes a resource that exists only
	// while the plan is carried out.
	Temporary bool `json:"temporary,omitempty"`

	resource Resource
	after    []*ProxyMachine
	// covered marks the replacement of a machine while others serve.
	covered  bool
	draining *Draining
	// replaced marks the deletion that belongs to a Replace.
	replaced bool
}

// ReplacedResource reports whether the step deletes a resource that another step
// recreates.
func (s *Step) ReplacedResource() bool { return s.replaced }

// Resource returns the resource that the step creates, changes or deletes.
func (s *Step) Resource() Resource { return s.resource }

// Words describe the step: doing while it runs, done when it is done.
func (s *Step) Words() (doing, done string) {
	switch s.Action {
	case Update:
		return "changing", "changed"
	case Replace:
		return "recreating", "recreated"
	case Delete:
		return "deleting", "deleted"
	case Drain:
		return "draining", "drained"
	default:
		row := s.Kind.row()
		return cmp.Or(row.creating, "creating"), cmp.Or(row.created, "created")
	}
}

// Loss describes what is lost for good when the step deletes or replaces its
// resource. It is empty if nothing is lost, and for the deletion that belongs to
// a replacement.
func (s *Step) Loss() string {
	row := s.Kind.row()
	if row.loss == nil || s.replaced || s.Temporary || (s.Action != Delete && s.Action != Replace) {
		return ""
	}
	loss := row.loss(s.resource)
	if s.Action == Replace && row.outage != "" && !s.covered {
		loss += "; " + row.outage
	}
	return loss
}

func (s *Step) needs(others ...*Step) {
	for _, other := range others {
		s.Needs = append(s.Needs, other.ID)
	}
}

// Plan is a list of steps, each after the steps that it needs.
type Plan struct {
	Steps []*Step
	// Postponed are the replacements of machines that the plan leaves to the next run:
	// sidecars must trust the machine that it replaces before.
	Postponed []*Step
	// Graph contains the resources that should exist. It is nil in a plan that
	// destroys a stack. Carrying out the plan fills in IDs and addresses.
	Graph *Graph
}

// Empty reports whether there is nothing to do.
func (p *Plan) Empty() bool { return len(p.Steps) == 0 }

// Count counts the steps by action. A replacement counts once.
func (p *Plan) Count() map[Action]int {
	count := map[Action]int{}
	for _, step := range p.Steps {
		if !step.replaced {
			count[step.Action]++
		}
	}
	return count
}

// Replacements returns the steps that recreate an existing resource.
func (p *Plan) Replacements() []*Step {
	var steps []*Step
	for _, step := range p.Steps {
		if step.Action == Replace {
			steps = append(steps, step)
		}
	}
	return steps
}

// sort orders the steps for people: first the creations, by dependencies, then
// the deletions. Each step comes after the steps that it needs.
func (p *Plan) sort() {
	byID := map[string]*Step{}
	for _, step := range p.Steps {
		byID[step.ID] = step
	}
	sorted := make([]*Step, 0, len(p.Steps))
	seen := map[string]bool{}
	var visit func(*Step)
	visit = func(step *Step) {
		if seen[step.ID] {
			return
		}
		seen[step.ID] = true
		for _, id := range step.Needs {
			visit(byID[id])
		}
		sorted = append(sorted, step)
	}
	for _, step := range p.Steps {
		slices.Sort(step.Needs)
		step.Needs = slices.Compact(step.Needs)
		visit(step)
	}
	p.Steps = sorted
}
