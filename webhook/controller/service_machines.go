package controller

import (
	"net/netip"
	"slices"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// Reachability is which machines of the proxy serve which tenants.
type Reachability interface {
	// Answers returns whether the machine answered last, and serves a tenant on the port.
	// known is false until it has been asked.
	Answers(machine netip.Addr, port int32) (answers, known bool)
	// AnswersSince returns the time at which the machine began to answer. It is zero if it
	// answered when it was asked first.
	AnswersSince(machine netip.Addr) time.Time
}

// Answers implements Reachability. A machine of an earlier version does not tell which
// ports it serves: then it is the answer on the port.
func (p *ProxyProber) Answers(machine netip.Addr, port int32) (answers, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	state, known := p.machines[machine]
	if machine == p.spare {
		return state.about(port).tenant != "", known
	}
	if !known || !state.fallsBack() {
		return state.about(port).tenant != "", known
	}
	answer, known := p.answers[netip.AddrPortFrom(machine, uint16(port))] //nolint:gosec // isTenantPort
	return answer.err == "", known
}

// AnswersSince implements Reachability.
func (p *ProxyProber) AnswersSince(machine netip.Addr) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machines[machine].since
}

// endpoints returns the machines that a tenant's Service leads to: those that
// serve its port, in the order of the machines. A machine about which nothing is known, as
// for a new leader, stays as it is in the present endpoints.
//
// The spare machine and the one that it stands in for are never endpoints together: only
// one of them has the egress addresses. A machine begins to answer when it gets them, and
// the other one may not notice that it has lost them. So the last one that began to answer
// is the endpoint.
//
// If no machine answers, the present endpoints stay, all machines but the spare one if
// there are none, and found is false: a fault of the leader's own network must not end the
// egress of every tenant, nor lead it to a machine that was taken out, and may be about to
// end.
func endpoints(machines []netip.Addr, spare netip.Addr, present []netip.Addr, port int32, reachability Reachability) (list []netip.Addr, found bool) {
	for _, machine := range machines {
		answers, known := reachability.Answers(machine, port)
		if known && answers || !known && (len(present) == 0 || slices.Contains(present, machine)) {
			list = append(list, machine)
		}
	}
	if spare.IsValid() {
		answers, known := reachability.Answers(spare, port)
		isPresent := slices.Contains(present, spare)
		if (known && answers || !known && isPresent) && isLast(spare, list, isPresent, reachability) {
			return []netip.Addr{spare}, true
		}
	}
	if len(list) > 0 {
		return list, true
	}
	for _, machine := range append(slices.Clone(machines), spare) {
		if slices.Contains(present, machine) {
			list = append(list, machine)
		}
	}
	if len(list) == 0 {
		list = machines
	}
	return list, false
}

// isLast reports whether the spare machine began to answer after all others. If that is not
// known, it is the endpoint if it is present there.
func isLast(spare netip.Addr, others []netip.Addr, isPresent bool, reachability Reachability) bool {
	since := reachability.AnswersSince(spare)
	for _, other := range others {
		before := reachability.AnswersSince(other)
		if since.Before(before) || since.Equal(before) && !isPresent {
			return false
		}
	}
	return true
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

func (alwaysReachable) AnswersSince(netip.Addr) time.Time { return time.Time{} }

func (alwaysReachable) Answers(netip.Addr, int32) (answers, known bool) { return true, true }
