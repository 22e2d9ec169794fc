package scwfake

import (
	"maps"
	"net/netip"
	"slices"
)

// Machines is what stands behind the servers: real ones, if the fake is to
// have some. It is called without a lock, one call at a time and in the order
// of events, before the request that caused the call is answered; unless two
// requests come together, when either may be answered first. It may send
// requests to the fake. Nodes of clusters are not told of.
type Machines interface {
	// PowerOn is called when a server reaches the state running.
	PowerOn(machine Machine)
	// PowerOff is called when a server is told to stop, to reboot or to
	// terminate. The machine's disk survives if it is powered on again.
	PowerOff(id string)
	// Changed is called after user data, public addresses or NICs of a running
	// server have changed.
	Changed(machine Machine)
}

// Machine is a server as it is at the time of the call. Its slices and maps
// are the receiver's.
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
	// Addresses have the length of the subnet.
	Addresses []netip.Prefix
}

// machine is the server for Options.Machines.
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

// tell notes a call to Options.Machines, to be made outside of the lock.
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

// deliver makes the calls that were noted. If another goroutine is at it
// already, that one goes on with these.
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

// sortedKeys is for whatever is to look the same each time.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
