package stack

import "slices"

// orderReplacements makes machines be replaced one at a time. A machine is deleted for its
// replacement only when all others serve that the plan does not replace after it: those
// that it has replaced or created before, and those that it leaves alone.
func (d *differ) orderReplacements() {
	if d.plan.Graph == nil || len(d.plan.Graph.Proxies) < 2 {
		return
	}
	machines := d.plan.Graph.Proxies
	replaced := func(p *ProxyMachine) bool {
		step := d.making[p.Server]
		return step != nil && step.Action == Replace
	}
	for i, machine := range machines {
		if !replaced(machine) {
			continue
		}
		step := d.making[machine.Server]
		step.covered = true
		deletion := d.deletionFor(step)
		for j, other := range machines {
			if i != j && (j < i || !replaced(other)) && deletion != nil {
				d.follow(deletion, other)
			}
		}
		if deletion != nil {
			step.After = deletion.roles()
		}
	}
}

// deletionFor returns the deletion that belongs to a replacement.
func (d *differ) deletionFor(replacement *Step) *Step {
	for _, step := range d.plan.Steps {
		if step.replaced && step.Kind == replacement.Kind && step.ResourceID == replacement.ResourceID {
			return step
		}
	}
	return nil
}

// follow makes a deletion wait until another machine serves. It does not if that machine
// needs something that the deletion frees, such as its private address: then both are
// replaced together.
func (d *differ) follow(deletion *Step, machine *ProxyMachine) {
	last := d.lastOf(machine)
	if slices.ContainsFunc(last, func(step *Step) bool { return d.plan.reaches(step, deletion) }) {
		return
	}
	deletion.needs(last...)
	deletion.after = append(deletion.after, machine)
	deletion.After = deletion.roles()
}

// isLastOf reports whether a step is among those after which a machine serves.
func isLastOf(step *Step, machine *ProxyMachine) bool {
	if step.Action == Delete || serverOf(step.resource) != machine.Server {
		return false
	}
	return step.Kind == KindPower || step.Kind == KindUserData
}

// reaches reports whether a step needs another one, directly or not.
func (p *Plan) reaches(from, to *Step) bool {
	byID := map[string]*Step{}
	for _, step := range p.Steps {
		byID[step.ID] = step
	}
	seen := map[string]bool{}
	var visit func(*Step) bool
	visit = func(step *Step) bool {
		if step == to {
			return true
		}
		if seen[step.ID] {
			return false
		}
		seen[step.ID] = true
		return slices.ContainsFunc(step.Needs, func(id string) bool { return visit(byID[id]) })
	}
	return visit(from)
}

func (s *Step) roles() []string {
	var roles []string
	for _, machine := range s.after {
		roles = append(roles, machine.Role)
	}
	return roles
}
