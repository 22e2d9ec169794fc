package stack

import (
	"net/netip"
	"slices"

	"egress.scw/webhook/api/v1alpha1"
)

// surge is the replacement of the only machine while a temporary one serves: it is created,
// gets the egress addresses when it serves, gives them back when the new machine serves, and
// is deleted. A run that continues an interrupted one finds the temporary machine, and may
// not need it any more but for the addresses that it has.
type surge struct {
	// machine is whether the temporary machine is needed: the first one is to be replaced.
	machine bool
	// server is the existing temporary machine, nil if there is none.
	server *Server
	// address is its private address.
	address netip.Addr
	// public is whether a machine boots that needs a public address for that: it has no
	// egress address then.
	public bool
	// returned are the roles of the egress addresses that the first machine gets back from
	// the temporary one.
	returned map[string]bool
}

// returns reports whether the first machine gets an address back when it serves.
func (s *surge) returns(address *FlexibleIP) bool { return s != nil && s.returned[address.Role] }

// surge returns how a plan, made without a temporary machine, is carried out with one. It is
// nil if there is nothing to replace, or if a temporary machine cannot help.
func (d *differ) surge(observed *Observed) *surge {
	g := d.plan.Graph
	if g.SpareIP == nil || g.spec.ReplaceAtOnce {
		return nil
	}
	first, existing := g.Proxies[0], existingSpare(observed)
	replacement := d.making[first.Server]
	isReplaced := replacement != nil && replacement.Action == Replace
	switch {
	case !isReplaced && existing == nil, !g.SpareIP.Address.IsValid(),
		// The cluster knows the address since an earlier run, or not at all.
		d.creates(g.SpareIP), d.creates(first.PrivateIP), d.creates(g.Network),
		// Addresses stay in their zone.
		isReplaced && changed(replacement, "zone"), existing != nil && existing.Zone != first.place.Zone,
		// An Instance with all these addresses has no place for another one to boot with.
		len(first.Addresses) > v1alpha1.MaxDedicatedAddresses:
		return nil
	}
	s := &surge{machine: isReplaced, server: existing, address: g.SpareIP.Address, public: isReplaced, returned: map[string]bool{}}
	for _, address := range first.Addresses {
		s.returned[address.Role] = isReplaced || d.isAttached(address, existing)
	}
	if !isReplaced && d.powers(first) != nil && first.leavesByFlexibleIPs() {
		s.public = !slices.ContainsFunc(first.Addresses, func(a *FlexibleIP) bool { return !s.returned[a.Role] })
	}
	return s
}

// existingSpare returns the temporary machine of an interrupted run, nil if there is none.
func existingSpare(observed *Observed) *Server {
	for _, r := range observed.byKey()[Key{KindServer, roleSpare}] {
		if server, ok := r.(*Server); ok && !server.Deleting {
			return server
		}
	}
	return nil
}

// isAttached reports whether an address is at an existing server.
func (d *differ) isAttached(address *FlexibleIP, server *Server) bool {
	return server != nil && address.exists() && d.attachedTo[address.ID] == server.ID
}

// creates reports whether the plan creates a resource, for the first time or again.
func (d *differ) creates(r Resource) bool {
	step := d.making[r]
	return step != nil && step.Action != Update
}

func changed(step *Step, field string) bool {
	return slices.ContainsFunc(step.Changes, func(c Change) bool { return c.Field == field })
}

// powers returns the step that starts a machine, nil if it runs.
func (d *differ) powers(machine *ProxyMachine) *Step {
	i := slices.IndexFunc(d.plan.Steps, func(s *Step) bool {
		return s.Kind == KindPower && s.Action != Delete && serverOf(s.resource) == machine.Server
	})
	if i < 0 {
		return nil
	}
	return d.plan.Steps[i]
}

// orderSurge adds the steps that move the addresses to the temporary machine and that delete
// it, and puts the steps of both machines in their order.
func (d *differ) orderSurge() {
	g := d.plan.Graph
	if g == nil || g.surge == nil {
		return
	}
	if g.Spare != nil {
		d.moveAway()
	}
	d.bootFirst()
	d.deleteSpare(d.moveBack())
	for _, step := range d.plan.Steps {
		step.Temporary = step.Temporary || isOfSpare(step)
	}
}

// isOfSpare reports whether a step is about the temporary machine. Its private address
// stays reserved.
func isOfSpare(step *Step) bool {
	if server := serverOf(step.resource); server != nil {
		return server.Role == roleSpare
	}
	address, ok := step.resource.(*FlexibleIP)
	return step.Kind == KindServer && step.Role == roleSpare || ok && address.Role == addressRole(roleSpare, RoleMetadata)
}

// moveAway adds the steps that give the egress addresses to the temporary machine when it
// serves, and makes the deletion of the first one wait for them.
func (d *differ) moveAway() {
	g := d.plan.Graph
	first, spare, server := g.Proxies[0], g.Spare, g.surge.server
	if power := d.powers(spare); power != nil {
		power.needs(d.attach("", g.SparePublicIP, spare))
	}
	replacement := d.making[first.Server]
	replacement.covered = true
	deletion := d.deletionFor(replacement)
	if deletion == nil {
		return
	}
	d.follow(deletion, spare)
	for _, address := range first.Addresses {
		if d.isAttached(address, server) {
			continue
		}
		step := d.attach("move ", address, spare)
		d.follow(step, spare)
		deletion.needs(step)
	}
	replacement.After = deletion.roles()
}

// attach adds a step that attaches an address to a machine, for a while. The prefix tells
// its ID from that of another attachment of the address.
func (d *differ) attach(prefix string, address *FlexibleIP, machine *ProxyMachine) *Step {
	attachment := &Attachment{ResourceMeta: ResourceMeta{Name: address.Name}, IP: address, Server: machine.Server, State: StateAttached}
	key := attachment.Key()
	step := &Step{
		ID: prefix + key.String(), Action: Create, Kind: key.Kind, Role: key.Role, Name: address.Name,
		Changes: []Change{{Field: "server", To: machine.Server.Name}}, Temporary: true, resource: attachment,
	}
	for _, need := range attachment.Needs() {
		if before, ok := d.making[need]; ok {
			step.needs(before)
		}
	}
	d.plan.Steps = append(d.plan.Steps, step)
	return step
}

// bootFirst lends the public address of the temporary machine to the first one, if it
// boots without its egress addresses. It reads its user data and downloads its packages
// by it.
func (d *differ) bootFirst() {
	g := d.plan.Graph
	first := g.Proxies[0]
	power := d.powers(first)
	if power == nil || g.SparePublicIP == nil || !first.leavesByFlexibleIPs() {
		return
	}
	power.needs(d.attach("lend ", g.SparePublicIP, first))
}

// moveBack makes the addresses of the temporary machine come back when the first one
// serves, and returns these steps.
func (d *differ) moveBack() []*Step {
	g := d.plan.Graph
	var steps []*Step
	for _, step := range d.plan.Steps {
		attachment, ok := step.resource.(*Attachment)
		if ok && !step.Temporary && g.surge.returns(attachment.IP) && attachment.Server == g.Proxies[0].Server {
			d.follow(step, g.Proxies[0])
			steps = append(steps, step)
		}
	}
	return steps
}

// deleteSpare makes the temporary machine and its public address go when the first machine
// serves and has its addresses back.
func (d *differ) deleteSpare(returns []*Step) {
	g := d.plan.Graph
	servers := d.spareDeletions()
	for _, step := range servers {
		step.needs(returns...)
		d.follow(step, g.Proxies[0])
		step.Reason = reasonTemporary
	}
	if g.SparePublicIP != nil {
		step := d.deleteTemporary(g.SparePublicIP)
		step.needs(returns...)
		step.needs(servers...)
	}
}

// spareDeletions returns the steps that delete the temporary machine. Only the machine of
// an interrupted run is unwanted already.
func (d *differ) spareDeletions() []*Step {
	if spare := d.plan.Graph.Spare; spare != nil {
		return []*Step{d.deleteTemporary(spare.Server)}
	}
	var steps []*Step
	for _, step := range d.plan.Steps {
		if step.Action == Delete && step.Kind == KindServer && step.Role == roleSpare && !step.resource.Meta().Deleting {
			steps = append(steps, step)
		}
	}
	return steps
}

// reasonTemporary is the reason of the deletion of the temporary machine.
const reasonTemporary = "temporary"

// deleteTemporary adds the step that deletes a resource which the plan has made or found.
func (d *differ) deleteTemporary(r Resource) *Step {
	key, meta := r.Key(), r.Meta()
	step := &Step{
		ID: "delete " + key.String(), Action: Delete, Kind: key.Kind, Role: key.Role, Name: meta.Name, ResourceID: meta.ID,
		Reason: reasonTemporary, Temporary: true, resource: r,
	}
	d.plan.Steps = append(d.plan.Steps, step)
	return step
}
