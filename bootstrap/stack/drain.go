package stack

import (
	"context"
	"fmt"
	"slices"

	"egress.scw/cloudinit"
)

// Draining describes a step that takes a machine out of the tenants' Services, before
// something of it is taken away.
type Draining struct {
	// Machine is the machine as it was observed.
	Machine *Server
	// Drained is its squid.conf in the form in which the machine is not found by the
	// cluster, and serves its last clients.
	Drained *UserData
	// Others are the machines that can serve instead: those that the plan has made
	// before, and those that it leaves alone until then.
	Others []*Server
}

// Draining returns the details of a step with the action Drain; of others nil.
func (s *Step) Draining() *Draining { return s.draining }

// drainRemoved drains each machine that is replaced or not wanted any more, if others
// can serve instead. The drain waits for those that the deletion would wait for.
func (d *differ) drainRemoved(observed *Observed) {
	for _, step := range slices.Clone(d.plan.Steps) {
		machine, ok := step.resource.(*Server)
		if ok && step.Action == Delete {
			drain := d.drainBefore(observed, machine, d.takingFrom(observed, machine), step.after, d.othersThan(observed, step))
			step.after = slices.DeleteFunc(slices.Clone(step.after), func(other *ProxyMachine) bool {
				return drain != nil && slices.Contains(drain.after, other)
			})
		}
	}
}

// drainBefore adds the drain of an observed machine: before the steps that take something
// of it away, and after the machines in the list serve. There is none, and the result is
// nil, without another machine that can serve instead, and for a machine that serves
// nothing: one that is stopped or being deleted, a second one for one purpose, and one
// whose squid.conf has no drained form.
func (d *differ) drainBefore(observed *Observed, machine *Server, taking []*Step, after []*ProxyMachine, others []*Server) *Step {
	drained, err := cloudinit.DrainedSquidConf(observed.squidConfOf(machine))
	if err != nil || !machine.Running || machine.Deleting || len(others) == 0 {
		return nil
	}
	step := &Step{
		ID: "drain " + machine.Key().String() + " " + machine.ID, Action: Drain, Kind: KindServer, Role: machine.Role,
		Name: machine.Name, ResourceID: machine.ID, resource: machine,
		draining: &Draining{Machine: machine, Others: others, Drained: &UserData{
			ResourceMeta: ResourceMeta{ID: machine.ID, Name: machine.Name}, Server: machine, DataKey: cloudinit.UserDataSquidConf,
			Render: func() ([]byte, error) { return drained, nil },
		}},
	}
	for _, other := range after {
		if last := d.lastOf(other); !d.anyReaches(last, taking) {
			step.needs(last...)
			step.after = append(step.after, other)
		}
	}
	for _, other := range d.plan.Graph.Proxies {
		// It may have been drained by an interrupted run, and get its squid.conf back.
		if last := d.lastOf(other); other.Server.exists() && other.Role != machine.Role && !d.anyReaches(last, taking) {
			step.needs(last...)
		}
	}
	step.After = step.roles()
	for _, later := range d.firstOf(taking) {
		later.needs(step)
	}
	d.plan.Steps = append(d.plan.Steps, step)
	return step
}

// firstOf returns the steps that come after no other one of them.
func (d *differ) firstOf(steps []*Step) []*Step {
	return slices.DeleteFunc(slices.Clone(steps), func(step *Step) bool {
		return slices.ContainsFunc(steps, func(other *Step) bool { return other != step && d.plan.reaches(step, other) })
	})
}

// squidConfOf returns the squid.conf in the user data of an observed machine, or nil.
func (o *Observed) squidConfOf(machine *Server) []byte {
	for _, r := range o.Resources {
		if data, ok := r.(*UserData); ok && data.Server.ID == machine.ID && data.DataKey == cloudinit.UserDataSquidConf {
			return data.Value
		}
	}
	return nil
}

// takingFrom returns the steps that take something of a machine away: that delete it, a
// part of it or an address that it has, or attach that address to another machine.
func (d *differ) takingFrom(observed *Observed, machine *Server) []*Step {
	var taking []*Step
	for _, step := range d.plan.Steps {
		switch r := step.resource.(type) {
		case *Server:
			if step.Action == Delete && r.ID == machine.ID {
				taking = append(taking, step)
			}
		case *FlexibleIP:
			if step.Action == Delete && r.ServerID == machine.ID {
				taking = append(taking, step)
			}
		case *Attachment:
			if r.Server.ID != machine.ID && observed.isAttached(r.IP, machine) {
				taking = append(taking, step)
			}
		default:
			if server := serverOf(r); step.Action == Delete && server != nil && server.ID == machine.ID {
				taking = append(taking, step)
			}
		}
	}
	return taking
}

// isAttached reports whether a machine has an address.
func (o *Observed) isAttached(address *FlexibleIP, machine *Server) bool {
	return address.exists() && slices.ContainsFunc(o.Resources, func(r Resource) bool {
		attachment, ok := r.(*Attachment)
		return ok && attachment.IP.ID == address.ID && attachment.Server.ID == machine.ID
	})
}

// othersThan returns the machines that can serve while a machine is deleted: observed ones
// that the plan does not delete before, and those after whose start it is deleted.
func (d *differ) othersThan(observed *Observed, deletion *Step) []*Server {
	var others []*Server
	for _, r := range observed.Resources {
		other, ok := r.(*Server)
		if !ok || other.Role == deletion.Role || !other.Running || other.Deleting || observed.squidConfOf(other) == nil {
			continue
		}
		if own := d.deletionOf(other); own == nil || d.plan.reaches(own, deletion) {
			others = append(others, other)
		}
	}
	for _, machine := range deletion.after {
		if d.making[machine.Server] != nil {
			others = append(others, machine.Server)
		}
	}
	SortByAge(others)
	return others
}

// deletionOf returns the step that deletes an observed machine, or nil.
func (d *differ) deletionOf(machine *Server) *Step {
	for _, step := range d.plan.Steps {
		if step.Action == Delete && step.resource == Resource(machine) {
			return step
		}
	}
	return nil
}

// lastOf returns the steps after which a machine serves.
func (d *differ) lastOf(machine *ProxyMachine) []*Step {
	var last []*Step
	for _, step := range d.plan.Steps {
		if isLastOf(step, machine) {
			last = append(last, step)
		}
	}
	return last
}

// anyReaches reports whether one of the steps needs one of the others, directly or not.
func (d *differ) anyReaches(steps, others []*Step) bool {
	return slices.ContainsFunc(steps, func(from *Step) bool {
		return slices.ContainsFunc(others, func(to *Step) bool { return d.plan.reaches(from, to) })
	})
}

// drain carries out a step with the action Drain. A machine that cannot be drained is taken
// away all the same.
func (e *execution) drain(ctx context.Context, step *Step, report func(string)) error {
	if e.runner.Drain != nil {
		return e.runner.Drain(ctx, step.draining, report)
	}
	if err := e.runner.Cloud.Update(ctx, step.draining.Drained, nil, report); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		report(fmt.Sprintf("%s cannot be drained: %v", step.Role, err))
	}
	return nil
}
