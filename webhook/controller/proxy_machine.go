package controller

import (
	"net/netip"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/proxystatus"
)

// fallbackAfter is the time for which a machine has not answered on the port for the
// state, until the tenants' ports are asked instead, as with a machine of an earlier
// version, which has no such port. A machine that has never answered there is asked so
// at once.
const fallbackAfter = time.Minute

// Machine is the last state of a proxy machine that the leader knows.
type Machine struct {
	Address netip.Addr
	// Up is whether it answers: on the port for the state, or, if it is of an earlier
	// version, on the port of a tenant.
	Up bool
	// Served are the tenants that it serves. Of a machine that is not up, and of an
	// earlier version, they are not known, and there are none.
	Served []proxystatus.Tenant
}

// machineState is the last answer of a machine on the port for the state. The zero value
// is that of a machine that has not been asked.
type machineState struct {
	asked time.Time
	// answered is the time of the last question that it answered.
	answered time.Time
	// since is the time of the question that it answered first, after one that it did not
	// answer.
	since  time.Time
	served []proxystatus.Tenant
	err    string // stable: equal for equal causes
	// withheld is whether the machine refuses the question: Squid is stopped, or it is
	// drained, and must not become an endpoint again while it serves its last clients.
	withheld bool
}

// after completes the state by what was known before it. The zero value is that of a machine
// that has not been asked before.
func (s machineState) after(before machineState) machineState {
	switch {
	case s.err != "":
		s.answered = before.answered
	case before.err != "":
		s.since = s.asked
	default:
		s.since = before.since
	}
	return s
}

// fallsBack returns whether the tenants' ports of the machine are asked instead. The
// firewall of an earlier version drops the question.
func (s machineState) fallsBack() bool {
	return s.err != "" && !s.withheld && s.asked.Sub(s.answered) > fallbackAfter
}

// about returns the answer about the tenant of a port.
func (s machineState) about(port int32) portAnswer {
	answer := portAnswer{asked: s.asked, err: s.err}
	if s.err != "" {
		return answer
	}
	for _, tenant := range s.served {
		if int32(tenant.Port) == port {
			answer.tenant, answer.revision = tenant.Name, tenant.Revision
		}
	}
	return answer
}

// Machines returns the last states of the machines that have been asked, in the order of
// their addresses in the settings, and of the spare one if it answers. There are none on
// other replicas than the leader. It is safe for concurrent use.
func (p *ProxyProber) Machines() []Machine {
	p.mu.Lock()
	defer p.mu.Unlock()
	var machines []Machine
	for _, address := range p.present() {
		state, known := p.machines[address]
		if !known {
			continue
		}
		machine := Machine{Address: address, Up: state.err == ""}
		if machine.Up {
			machine.Served = state.served
		} else if state.fallsBack() {
			machine.Up = p.answersOnAnyPort(address)
		}
		machines = append(machines, machine)
	}
	return machines
}

// answersOnAnyPort returns whether a machine has answered on the port of a tenant. The
// caller holds the lock.
func (p *ProxyProber) answersOnAnyPort(address netip.Addr) bool {
	for proxy, answer := range p.answers {
		if proxy.Addr() == address && answer.err == "" {
			return true
		}
	}
	return false
}

// statusPortOf returns the port for the state of a machine.
func statusPortOf(address netip.Addr) netip.AddrPort {
	return netip.AddrPortFrom(address, names.StatusPort)
}
