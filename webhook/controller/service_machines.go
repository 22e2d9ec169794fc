package controller

import (
	"net/netip"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// Reachability is which machines of the proxy serve which tenants.
type Reachability interface {
	// Answers returns whether the machine answered last, and serves a tenant on the port.
	// known is false until it has been asked.
	Answers(machine netip.Addr, port int32) (answers, known bool)
}

// Answers implements Reachability. A machine of an earlier version does not tell which
// ports it serves: then it is the answer on the port.
func (p *ProxyProber) Answers(machine netip.Addr, port int32) (answers, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	state, known := p.machines[machine]
	if !known || !state.fallsBack() {
		return state.about(port).tenant != "", known
	}
	answer, known := p.answers[netip.AddrPortFrom(machine, uint16(port))] //nolint:gosec // isTenantPort
	return answer.err == "", known
}

// endpoints returns the machines that a tenant's Service leads to: those that
// serve its port, in the order of the machines. A machine about which nothing is known, as for a new
// leader, stays as it is in the present endpoints.
//
// If no machine answers, the present endpoints stay, all machines if there are none, and
// found is false: a fault of the leader's own network must not end the egress of every
// tenant, nor lead it to a machine that was taken out, and may be about to end.
func endpoints(machines, present []netip.Addr, port int32, reachability Reachability) (list []netip.Addr, found bool) {
	for _, machine := range machines {
		answers, known := reachability.Answers(machine, port)
		if known && answers || !known && (len(present) == 0 || slices.Contains(present, machine)) {
			list = append(list, machine)
		}
	}
	if len(list) > 0 {
		return list, true
	}
	for _, machine := range machines {
		if slices.Contains(present, machine) {
			list = append(list, machine)
		}
	}
	if len(list) == 0 {
		list = machines
	}
	return list, false
}

// addressesIn returns the addresses in an EndpointSlice, none for nil.
func addressesIn(slice *discoveryv1.EndpointSlice) []netip.Addr {
	var addresses []netip.Addr
	if slice == nil {
		return nil
	}
	for i := range slice.Endpoints {
		for _, text := range slice.Endpoints[i].Addresses {
			if address, err := netip.ParseAddr(text); err == nil {
				addresses = append(addresses, address)
			}
		}
	}
	return addresses
}

// alwaysReachable is the Reachability of proxies that are not asked.
type alwaysReachable struct{}

func (alwaysReachable) Answers(netip.Addr, int32) (answers, known bool) { return true, true }
