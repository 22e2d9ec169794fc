package config

import (
	"fmt"
	"net/netip"
	"slices"
)

// Machine is a proxy machine as egress.yaml places it.
type Machine struct {
	// Zone is the zone of the machine.
	Zone string
	// PrivateIP is its address in the Private Network.
	PrivateIP netip.Addr
	// NameServers are those of egress.yaml, or Scaleway's in the machine's zone.
	NameServers []netip.Addr
	// Field is the path of the field with its address.
	Field string
}

// Machines returns the proxy machines in their order: one to four, also where the number is
// out of bounds. Their zones are
// those of spec.proxy.zones, round robin.
func (s *Spec) Machines() []Machine {
	zones := s.Proxy.Zones
	if len(zones) == 0 {
		zones = []string{s.Zone}
	}
	machines := make([]Machine, max(1, min(s.Proxy.Replicas, maxReplicas)))
	for i := range machines {
		m := Machine{Zone: zones[i%len(zones)], NameServers: s.Proxy.NameServers}
		if len(m.NameServers) == 0 {
			m.NameServers = slices.Clone(publicResolvers[m.Zone])
		}
		switch {
		case i < len(s.Proxy.PrivateIPs):
			m.PrivateIP, m.Field = s.Proxy.PrivateIPs[i], fmt.Sprintf("spec.proxy.privateIPs[%d]", i)
		case i == 0:
			m.PrivateIP, m.Field = s.Proxy.PrivateIP, "spec.proxy.privateIP"
		}
		machines[i] = m
	}
	return machines
}
