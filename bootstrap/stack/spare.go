package stack

import "egress.scw/cloudinit"

// roleSpare is the role of the machine that serves while the only one is replaced. It is
// not the role of a second machine: that one has egress addresses of its own, which
// tenants' partners must know before it is used.
const roleSpare = roleProxy + "-spare"

// hasSpare reports whether a temporary machine can serve while the only one is replaced.
// Sidecars would not trust its certificate.
func (s *Spec) hasSpare() bool {
	return len(s.Machines()) == 1 && !s.Proxy.Identity.Sidecars()
}

// spareName returns the name of the temporary machine of a stack.
func spareName(stack string) string { return ResourceName(stack) + "-" + roleSpare }

// addSpare adds the temporary machine and its public address, as far as they are wanted.
func (g *Graph) addSpare() {
	first := g.Proxies[0]
	if g.surge.public {
		g.SparePublicIP = &FlexibleIP{
			ResourceMeta: ResourceMeta{Name: spareName(g.spec.Name) + "-" + RoleMetadata}, Role: addressRole(roleSpare, RoleMetadata), Zone: first.place.Zone,
		}
		g.add(g.SparePublicIP)
	}
	if g.surge.machine {
		g.addSpareMachine(first)
	}
}

// addSpareMachine adds the temporary machine. It is like the first one and has the same
// squid.conf, but for the private address: its requests fail until it has the egress
// addresses.
func (g *Graph) addSpareMachine(first *ProxyMachine) {
	p := &ProxyMachine{
		Role: roleSpare, SecurityGroup: first.SecurityGroup, Addresses: first.Addresses, PrivateIP: g.SpareIP,
		network: first.network, place: first.place, spec: first.spec, tenants: first.tenants,
	}
	p.place.PrivateIP, p.place.Field = g.surge.address, ""
	g.addServer(p, nil)
	if existing := g.surge.server; existing != nil && existing.Running {
		// It may be the only machine that serves, so that it is not replaced itself.
		p.Server.Type, p.Server.Image, p.Server.VolumeGB = existing.Type, existing.Image, existing.VolumeGB
	}
	g.Spare = p
}

// renderSpare renders the user data that the temporary machine boots from.
func (g *Graph) renderSpare() error {
	if existing := g.surge.server; existing != nil && existing.Running && len(existing.CloudInit) > 0 {
		g.Spare.Server.CloudInit = existing.CloudInit
		return nil
	}
	return g.Spare.renderCloudInit()
}

// leavesByFlexibleIPs reports whether requests leave from addresses of the machine.
func (p *ProxyMachine) leavesByFlexibleIPs() bool {
	return p.spec.SourceAddress == cloudinit.SourceFlexibleIP
}
