package stack

import (
	"slices"

	"egress.scw/cloudinit"
)

// postponeReplacements leaves one machine to replace in the plan, if sidecars trust the
// certificates of machines. A new machine makes a certificate of its own, which sidecars
// trust after the chart was upgraded: without a machine that they trust already, they
// would reach none.
//
// With KeepMachines, that one is not replaced either.
//
// Machines are replaced in one run if other changes wait for that, such as that of an
// address.
func (d *differ) postponeReplacements(observed *Observed) {
	if graph := d.plan.Graph; graph == nil || !graph.spec.Proxy.Identity.Sidecars() {
		return
	}
	var replaced []*ProxyMachine
	for _, machine := range d.plan.Graph.Proxies {
		if step := d.making[machine.Server]; step != nil && step.Action == Replace {
			replaced = append(replaced, machine)
		}
	}
	for _, machine := range slices.Backward(replaced) {
		if machine != replaced[0] || d.plan.Graph.spec.KeepMachines {
			d.postpone(observed, machine)
		}
	}
}

// postpone removes the steps that replace a machine from the plan, unless others need
// them, or the machine serves no sidecars yet.
func (d *differ) postpone(observed *Observed, machine *ProxyMachine) {
	replacement := d.making[machine.Server]
	deletion := d.deletionFor(replacement)
	if deletion == nil {
		return
	}
	old, ok := deletion.resource.(*Server)
	if !ok || !cloudinit.ServesSidecars(observed.squidConfOf(old)) {
		return
	}
	isOwn := func(step *Step) bool {
		return step == replacement || step == deletion || step.draining != nil && step.draining.Machine == old || serverOf(step.resource) == machine.Server
	}
	own := map[string]bool{}
	var others []*Step
	for _, step := range d.plan.Steps {
		if isOwn(step) {
			own[step.ID] = true
		} else {
			others = append(others, step)
		}
	}
	for _, step := range others {
		if slices.ContainsFunc(step.Needs, func(id string) bool { return own[id] }) {
			return
		}
	}
	d.plan.Steps = others
	d.plan.Postponed = append([]*Step{replacement}, d.plan.Postponed...)
	machine.Server.CopyObserved(old)
	machine.kept = observed.squidConfOf(old)
}
