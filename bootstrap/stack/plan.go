package stack

import (
	"slices"
)

// Action is what a step does.
type Action string

// Actions.
const (
	Create  Action = "create"
	Update  Action = "update"
	Replace Action = "replace" // the second half: the old resource has its own step, which deletes it
	Delete  Action = "delete"
)

// Change is a property that differs. From is empty for what is new, To for what
// goes away.
type Change struct {
	Field string `json:"field"`
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
	// Fixed says why the property cannot be changed in place; empty: it can.
	Fixed string `json:"fixed,omitempty"`
}

// Step is one thing to do.
type Step struct {
	// ID is unique in the plan.
	ID     string `json:"id"`
	Action Action `json:"action"`
	Kind   Kind   `json:"kind"`
	Role   string `json:"role,omitempty"`
	Name   string `json:"name"`
	// ResourceID is Scaleway's, of what exists.
	ResourceID string   `json:"resourceID,omitempty"`
	Changes    []Change `json:"changes,omitempty"`
	// Reason says why something is deleted.
	Reason string `json:"reason,omitempty"`
	// Needs are the IDs of the steps that come first.
	Needs []string `json:"needs,omitempty"`

	resource Resource
	// replaced marks the deletion that belongs to a Replace.
	replaced bool
}

// ReplacedResource says whether the step deletes what another step makes anew.
func (s *Step) ReplacedResource() bool { return s.replaced }

// Resource is what the step is about.
func (s *Step) Resource() Resource { return s.resource }

func (s *Step) needs(others ...*Step) {
	for _, other := range others {
		s.Needs = append(s.Needs, other.ID)
	}
}

// Plan is what has to be done, each step after those that it needs.
type Plan struct {
	Steps []*Step
	// Graph is what should exist; nil in a plan that destroys. Carrying out
	// the plan fills in IDs and addresses.
	Graph *Graph
}

// Empty says whether there is nothing to do.
func (p *Plan) Empty() bool { return len(p.Steps) == 0 }

// Count counts the steps by what they do. A replacement counts once.
func (p *Plan) Count() map[Action]int {
	count := map[Action]int{}
	for _, step := range p.Steps {
		if !step.replaced {
			count[step.Action]++
		}
	}
	return count
}

// Replacements are the steps that put something else in the place of what
// exists.
func (p *Plan) Replacements() []*Step {
	var steps []*Step
	for _, step := range p.Steps {
		if step.Action == Replace {
			steps = append(steps, step)
		}
	}
	return steps
}

// sort puts the steps in the order in which people read them: what is made, by
// dependencies, then what is deleted. Each comes after what it needs.
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
