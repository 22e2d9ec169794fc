package scwfake

import (
	"maps"
	"net/netip"
	"slices"
)

// Machines receives the changes of servers, so that a server can be backed by a real
// machine. It is called without a lock, one call at a time, in the order of the
// events, and before the request that caused the call is answered. If two requests
// arrive together, either one may be answered first. Machines may send requests to
// the fake. It is not notified of the nodes of clusters.
type Machines interface {
	// PowerOn is called when a server reaches the state running.
	PowerOn(machine Machine)
	// PowerOff is called when a stop, a reboot or a termination of a server is
	// requested. If the server is powered on again, its disk must be the same.
	PowerOff(id string)
	// Changed is called after user data, public addresses or NICs of a running
	// server have changed.
	Changed(machine Machine)
}

// Machine is the state of a server at the time of the call. Its slices and maps
// belong to the receiver.
type Machine struct {
	ID, Name, Zone string
	Tags           []string
	UserData       map[string][]byte
	PublicIPs      []netip.Addr
	NICs           []MachineNIC
}

// MachineNIC is a network card on a Private Network.
type MachineNIC struct {
	ID, PrivateNetworkID string
	// MAC is in lower case.
	MAC string
	// Addresses have the prefix length of the subnet.
	Addresses []netip.Prefix
}

// machine returns the server in the form for Options.Machines.
func (a *API) machine(s *server) Machine {
	m := Machine{ID: s.id, Name: s.name, Zone: s.place, Tags: slices.Clone(s.tags), UserData: map[string][]byte{}}
	for key, value := range s.userData {
		m.UserData[key] = slices.Clone(value)
	}
	for _, address := range a.addressesOf(s) {
		m.PublicIPs = append(m.PublicIPs, address.addr)
	}
	for _, n := range a.nicsOf(s) {
		card := MachineNIC{ID: n.id, PrivateNetworkID: n.network, MAC: n.mac}
		for _, ip := range a.ipsOf(n.id) {
			card.Addresses = append(card.Addresses, ip.address)
		}
		m.NICs = append(m.NICs, card)
	}
	return m
}

// tell queues a call to Options.Machines, which is made outside of the lock.
func (a *API) tell(s *server, call func(Machines)) {
	if machines := a.options.Machines; machines != nil && !s.node {
		a.events = append(a.events, func() { call(machines) })
	}
}

func (a *API) poweredOn(s *server) {
	machine := a.machine(s)
	a.tell(s, func(machines Machines) { machines.PowerOn(machine) })
}

func (a *API) poweredOff(s *server) {
	id := s.id
	a.tell(s, func(machines Machines) { machines.PowerOff(id) })
}

func (a *API) changed(s *server) {
	if s.status == serverRunning {
		machine := a.machine(s)
		a.tell(s, func(machines Machines) { machines.Changed(machine) })
	}
}

// deliver makes the queued calls. If another goroutine is delivering already, that
// one also makes these.
func (a *API) deliver() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.delivering {
		return
	}
	a.delivering = true
	defer func() { a.delivering = false }()
	for len(a.events) > 0 {
		next := a.events[0]
		a.events = a.events[1:]
		a.mu.Unlock()
		next()
		a.mu.Lock()
	}
}

// sortedKeys returns the keys in an order that is the same each time.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
