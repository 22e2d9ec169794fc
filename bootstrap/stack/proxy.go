package stack

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	"egress.scw/bootstrap/config"
	"egress.scw/cloudinit"
	"egress.scw/webhook/api/v1alpha1"
)

// roleProxy is the role of the first machine. The others have it with their number, from
// 2 on.
const roleProxy = "proxy"

// machineRole returns the role of a machine, counted from 0.
func machineRole(i int) string {
	if i == 0 {
		return roleProxy
	}
	return roleProxy + "-" + strconv.Itoa(i+1)
}

// ProxyMachine contains the resources of a machine that runs Squid.
type ProxyMachine struct {
	// Role tells the machines of a stack apart. It is part of the names, tags and
	// keys of their resources.
	Role string
	// SecurityGroup is that of all machines in the zone.
	SecurityGroup *SecurityGroup
	// Addresses are the addresses that requests leave from, the shared one first.
	// There are none if requests leave through the gateway.
	Addresses []*FlexibleIP
	// MetadataIP is nil unless requests leave through the gateway.
	MetadataIP *FlexibleIP
	PrivateIP  *PrivateIP
	Server     *Server

	// kept is the squid.conf in the user data of a machine whose replacement is postponed.
	kept    []byte
	network *PrivateNetwork
	place   config.Machine
	spec    config.ProxyMachine
	tenants []v1alpha1.Tenant
}

// AddressRole returns the role of the machine's address for a use.
func (p *ProxyMachine) AddressRole(use string) string { return addressRole(p.Role, use) }

// addProxies adds all machines.
func (g *Graph) addProxies() {
	for i, place := range g.spec.Machines() {
		g.addProxy(machineRole(i), place)
	}
	if g.surge != nil {
		g.addSpare()
	}
}

// addProxy adds a machine, in the order of its resources' kinds.
func (g *Graph) addProxy(role string, place config.Machine) {
	meta := ResourceMeta{Name: ResourceName(g.spec.Name) + "-" + role}
	p := &ProxyMachine{Role: role, network: g.Network, place: place, spec: g.spec.Proxy, tenants: g.spec.Tenants}
	p.SecurityGroup = g.groupIn(place.Zone)
	if p.SecurityGroup == nil {
		p.SecurityGroup = &SecurityGroup{ResourceMeta: meta, Role: role, Zone: place.Zone, SSHSources: p.spec.SSHSources}
		g.add(p.SecurityGroup)
	}
	g.Proxies = append(g.Proxies, p)
	p.makeAddresses(meta.Name)
	for _, address := range p.allAddresses() {
		g.add(address)
	}
	p.PrivateIP = &PrivateIP{ResourceMeta: meta, Role: role, Network: g.Network, Address: place.PrivateIP}
	g.add(p.PrivateIP)
	if g.spec.hasSpare() {
		g.SpareIP = &PrivateIP{ResourceMeta: ResourceMeta{Name: spareName(g.spec.Name)}, Role: roleSpare, Network: g.Network, Free: true}
		g.add(g.SpareIP)
	}
	attached, returned := p.attachments(g.surge)
	g.addServer(p, attached)
	for _, attachment := range returned {
		attachment.Server = p.Server
		g.add(attachment)
	}
}

// addServer adds the server of a machine, with its parts.
func (g *Graph) addServer(p *ProxyMachine, attached []*Attachment) {
	meta := ResourceMeta{Name: ResourceName(g.spec.Name) + "-" + p.Role}
	p.Server = &Server{
		ResourceMeta: meta, Role: p.Role, Zone: p.place.Zone, Type: p.spec.Type, Image: p.spec.Image, VolumeGB: p.spec.VolumeGB, SecurityGroup: p.SecurityGroup,
	}
	g.add(p.Server)
	for _, attachment := range attached {
		attachment.Server = p.Server
	}

	parts := p.parts(attached)
	for _, part := range parts {
		g.add(part)
	}
	if !p.leavesByFlexibleIPs() && g.GatewayNetwork != nil {
		// The machine downloads its packages through the gateway, which the DHCP
		// lease of the private NIC announces.
		parts = append(parts, g.GatewayNetwork)
	}
	g.add(&Power{ResourceMeta: meta, Server: p.Server, Before: parts})
}

// groupIn returns the security group of the machines in a zone, or nil if there is none
// yet.
func (g *Graph) groupIn(zone string) *SecurityGroup {
	for _, proxy := range g.Proxies {
		if proxy.SecurityGroup.Zone == zone {
			return proxy.SecurityGroup
		}
	}
	return nil
}

// makeAddresses makes the public addresses, whose names begin with the
// machine's.
func (p *ProxyMachine) makeAddresses(name string) {
	address := func(suffix, use string) *FlexibleIP {
		return &FlexibleIP{ResourceMeta: ResourceMeta{Name: name + "-" + suffix}, Role: addressRole(p.Role, use), Zone: p.place.Zone}
	}
	if !p.leavesByFlexibleIPs() {
		p.MetadataIP = address("metadata", RoleMetadata)
		return
	}
	p.Addresses = []*FlexibleIP{address("shared", RoleShared)}
	for _, tenant := range p.tenants {
		if tenant.HasDedicatedIP() {
			p.Addresses = append(p.Addresses, address(tenant.Name, RoleTenant(tenant.Name)))
		}
	}
	slices.SortFunc(p.Addresses[1:], func(a, b *FlexibleIP) int { return cmp.Compare(a.Role, b.Role) })
}

// allAddresses returns all public addresses of the machine.
func (p *ProxyMachine) allAddresses() []*FlexibleIP {
	addresses := slices.Clone(p.Addresses)
	if p.MetadataIP != nil {
		addresses = append(addresses, p.MetadataIP)
	}
	return addresses
}

// attachments makes the attachments of the public addresses: those that the server needs
// when it boots, and those that come back to it when it serves.
func (p *ProxyMachine) attachments(s *surge) (attached, returned []*Attachment) {
	for _, address := range p.allAddresses() {
		attachment := &Attachment{ResourceMeta: ResourceMeta{Name: address.Name}, IP: address, State: StateAttached}
		if s.returns(address) {
			returned = append(returned, attachment)
		} else {
			attached = append(attached, attachment)
		}
	}
	return attached, returned
}

// parts makes the resources that the server needs when it boots.
func (p *ProxyMachine) parts(attachments []*Attachment) []Resource {
	meta := ResourceMeta{Name: p.Server.Name}
	parts := []Resource{
		&Volume{ResourceMeta: meta, Role: p.Role, Zone: p.place.Zone, Server: p.Server},
		&PrivateNIC{ResourceMeta: meta, Server: p.Server, Network: p.network, PrivateIP: p.PrivateIP},
	}
	for _, attachment := range attachments {
		parts = append(parts, attachment)
	}
	return append(parts,
		&UserData{
			ResourceMeta: meta, Server: p.Server, DataKey: cloudinit.UserDataCloudInit,
			Render: func() ([]byte, error) { return p.Server.CloudInit, nil },
		},
		&UserData{
			ResourceMeta: meta, Server: p.Server, DataKey: cloudinit.UserDataSquidConf,
			Render: p.SquidConfValue, Sources: p.Addresses, After: attachments, Revisions: p.revisions(), Ports: p.ports(),
		})
}

// machine returns the machine as cloudinit describes it.
func (p *ProxyMachine) machine() cloudinit.Machine {
	return cloudinit.Machine{
		Hostname:       p.Server.Name,
		PrivateAddress: p.place.PrivateIP,
		PrivateNetwork: p.network.CIDR,
		SourceAddress:  p.spec.SourceAddress,
		NameServers:    p.place.NameServers,
		SSH:            len(p.spec.SSHSources) > 0,
		Syslog:         p.spec.AuditLog.Syslog,
		Identity:       p.spec.Identity,
		Authority:      p.spec.Authority,
	}
}

func (p *ProxyMachine) renderCloudInit() error {
	userData, err := cloudinit.Render(p.machine())
	if err != nil {
		return err
	}
	p.Server.CloudInit = userData
	return nil
}

// SquidConfValue renders the user data that contains squid.conf. The addresses
// must be known. It is the present value of a machine whose replacement is postponed.
func (p *ProxyMachine) SquidConfValue() ([]byte, error) {
	if p.kept != nil {
		return p.kept, nil
	}
	conf, err := p.SquidConf()
	if err != nil {
		return nil, err
	}
	return cloudinit.EncodeSquidConf(conf)
}

// SquidConf renders the machine's squid.conf. The addresses must be known.
func (p *ProxyMachine) SquidConf() ([]byte, error) {
	addresses := cloudinit.Addresses{}
	for _, address := range p.Addresses {
		if address.Use() == RoleShared {
			addresses.Shared = address.Address
			continue
		}
		if addresses.Dedicated == nil {
			addresses.Dedicated = map[string]netip.Addr{}
		}
		addresses.Dedicated[address.Tenant()] = address.Address
	}
	return cloudinit.SquidConf(p.machine(), p.tenants, addresses)
}

// revisions returns the wanted revisions of the proxy's tenants, by name.
func (p *ProxyMachine) revisions() map[string]string {
	revisions := make(map[string]string, len(p.tenants))
	for _, tenant := range p.tenants {
		if tenant.IsProxied() {
			revisions[tenant.Name] = tenant.Revision()
		}
	}
	return revisions
}

// ports returns the names of the tenants, by their ports.
func (p *ProxyMachine) ports() map[string]string {
	ports := make(map[string]string, len(p.tenants))
	for _, tenant := range p.tenants {
		ports[strconv.Itoa(int(tenant.ProxyPort()))] = tenant.Name
	}
	return ports
}
