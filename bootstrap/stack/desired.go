package stack

import (
	"cmp"
	"net/netip"
	"slices"

	"egress.scw/cloudinit"
	"egress.scw/cloudinit/squid"
	"egress.scw/webhook/api/v1alpha1"
)

// Graph is what should exist. While a plan is made and carried out, its
// resources learn their IDs and addresses.
type Graph struct {
	VPC            *VPC // nil if the network is given
	Network        *PrivateNetwork
	Gateway        *Gateway        // nil if there is none
	GatewayNetwork *GatewayNetwork // nil if there is none
	Addresses      []*FlexibleIP   // those that tenants leave by, the shared one first; none with egress Gateway
	MetadataIP     *FlexibleIP     // nil but with egress Gateway
	PrivateIP      *PrivateIP
	Server         *Server
	Cluster        *Cluster // nil if there is none
	Registry       *Registry

	spec      Spec
	resources []Resource // all of them, each after what it needs
}

// Resources returns all of them, each after what it needs.
func (g *Graph) Resources() []Resource { return slices.Clone(g.resources) }

// Desired builds what should exist for a configuration.
func Desired(spec Spec) (*Graph, error) {
	g := &Graph{spec: spec}
	g.addNetwork()
	if err := g.addProxy(); err != nil {
		return nil, err
	}
	g.addCluster()
	if spec.Registry != nil {
		g.Registry = &Registry{ResourceMeta: ResourceMeta{Name: spec.Registry.Name}, Public: spec.Registry.Public}
		g.add(g.Registry)
	}
	return g, nil
}

func (g *Graph) add(r Resource) { g.resources = append(g.resources, r) }

// ResourceName is the name of what there is one of.
func ResourceName(name string) string { return "egress-" + name }

// ProxyName is the name of the proxy's server, volume and security group.
func ProxyName(name string) string { return ResourceName(name) + "-proxy" }

func (g *Graph) addNetwork() {
	name := ResourceName(g.spec.Name)
	if g.spec.NetworkID != "" {
		g.Network = &PrivateNetwork{ResourceMeta: ResourceMeta{ID: g.spec.NetworkID, Existing: true}}
		g.add(g.Network)
	} else {
		g.VPC = &VPC{ResourceMeta{Name: name}}
		g.Network = &PrivateNetwork{ResourceMeta: ResourceMeta{Name: name}, VPC: g.VPC, CIDR: g.spec.NetworkCIDR}
		g.add(g.VPC)
		g.add(g.Network)
	}
	if g.spec.Gateway != nil {
		g.Gateway = &Gateway{ResourceMeta: ResourceMeta{Name: name}, Type: g.spec.Gateway.Type, Status: statusReady}
		g.GatewayNetwork = &GatewayNetwork{
			ResourceMeta: ResourceMeta{Name: name}, Gateway: g.Gateway, Network: g.Network, Status: statusReady,
			Masquerade: g.spec.Gateway.Masquerade, DefaultRoute: g.spec.Gateway.DefaultRoute,
		}
		g.add(g.Gateway)
		g.add(g.GatewayNetwork)
	}
}

func (g *Graph) addProxy() error {
	name, proxy := ProxyName(g.spec.Name), g.spec.Proxy
	group := &SecurityGroup{ResourceMeta: ResourceMeta{Name: name}, SSHSources: proxy.SSHSources}
	g.add(group)
	if proxy.Egress == cloudinit.SourceFlexibleIP {
		g.addAddresses()
	} else {
		g.MetadataIP = &FlexibleIP{ResourceMeta: ResourceMeta{Name: name + "-metadata"}, Role: RoleMetadata}
		g.add(g.MetadataIP)
	}
	g.PrivateIP = &PrivateIP{ResourceMeta: ResourceMeta{Name: name}, Network: g.Network, Address: proxy.PrivateIP}
	g.add(g.PrivateIP)

	g.Server = &Server{
		ResourceMeta: ResourceMeta{Name: name}, Type: proxy.Type, Image: proxy.Image, VolumeGB: proxy.VolumeGB, SecurityGroup: group,
	}
	g.add(g.Server)
	before := g.addServerParts(name)
	if g.MetadataIP != nil && g.GatewayNetwork != nil {
		// The way that packages come by, which the lease of the private NIC tells of.
		before = append(before, g.GatewayNetwork)
	}
	g.add(&Power{ResourceMeta: ResourceMeta{Name: name}, Server: g.Server, Before: before})
	return g.renderCloudInit()
}

// renderCloudInit needs the network's range, which of a given network is known
// only when it has been looked at.
func (g *Graph) renderCloudInit() error {
	if !g.Network.CIDR.IsValid() {
		return nil
	}
	text, err := cloudinit.Render(g.vm())
	if err != nil {
		return err
	}
	g.Server.CloudInit = text
	return nil
}

// addServerParts adds what the server reads when it boots.
func (g *Graph) addServerParts(name string) []Resource {
	parts := []Resource{
		&Volume{ResourceMeta: ResourceMeta{Name: name}, Server: g.Server},
		&PrivateNIC{ResourceMeta: ResourceMeta{Name: name}, Server: g.Server, Network: g.Network, PrivateIP: g.PrivateIP},
	}
	addresses := slices.Clone(g.Addresses)
	if g.MetadataIP != nil {
		addresses = append(addresses, g.MetadataIP)
	}
	var attachments []*Attachment
	for _, address := range addresses {
		attachment := &Attachment{ResourceMeta: ResourceMeta{Name: address.Name}, IP: address, Server: g.Server}
		attachments = append(attachments, attachment)
		parts = append(parts, attachment)
	}
	parts = append(parts,
		&UserData{
			ResourceMeta: ResourceMeta{Name: name}, Server: g.Server, DataKey: cloudinit.UserDataCloudInit,
			Render: func() ([]byte, error) { return g.Server.CloudInit, nil },
		},
		&UserData{
			ResourceMeta: ResourceMeta{Name: name}, Server: g.Server, DataKey: cloudinit.UserDataSquidConf,
			Render: g.renderSquidConf, Sources: g.Addresses, After: attachments, Revisions: g.revisions(),
		})
	for _, part := range parts {
		g.add(part)
	}
	return parts
}

func (g *Graph) addAddresses() {
	name := ProxyName(g.spec.Name)
	g.Addresses = []*FlexibleIP{{ResourceMeta: ResourceMeta{Name: name + "-shared"}, Role: RoleShared}}
	for _, tenant := range g.spec.Tenants {
		if tenant.Proxy.EgressIP == v1alpha1.EgressIPDedicated {
			g.Addresses = append(g.Addresses, &FlexibleIP{ResourceMeta: ResourceMeta{Name: name + "-" + tenant.Name}, Role: RoleTenant(tenant.Name)})
		}
	}
	slices.SortFunc(g.Addresses[1:], func(a, b *FlexibleIP) int { return cmp.Compare(a.Role, b.Role) })
	for _, address := range g.Addresses {
		g.add(address)
	}
}

func (g *Graph) addCluster() {
	spec := g.spec.Cluster
	if spec == nil {
		return
	}
	if spec.ID != "" {
		g.Cluster = &Cluster{ResourceMeta: ResourceMeta{ID: spec.ID, Existing: true}, Network: g.Network}
	} else {
		acl := spec.ACL
		if len(acl) == 0 {
			acl = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0)} // what Scaleway sets
		}
		g.Cluster = &Cluster{
			ResourceMeta: ResourceMeta{Name: ResourceName(g.spec.Name)}, Network: g.Network, Version: spec.Version, CNI: spec.CNI,
			PodCIDR: spec.PodCIDR, ServiceCIDR: spec.ServiceCIDR, ACL: acl, AutoUpgrade: spec.AutoUpgrade,
			Autoscaler: spec.Autoscaler, Status: statusReady,
		}
	}
	g.add(g.Cluster)
	for _, pool := range spec.Pools {
		g.add(&Pool{
			ResourceMeta: ResourceMeta{Name: pool.Name}, Cluster: g.Cluster, NodeType: pool.NodeType, Zone: pool.Zone, VolumeGB: pool.VolumeGB,
			Size: pool.Size, Min: pool.Min, Max: pool.Max, Autohealing: pool.Autohealing, Labels: pool.Labels, Taints: pool.Taints,
			Status: statusReady,
		})
	}
}

// vm is the proxy as cloud-init sees it.
func (g *Graph) vm() cloudinit.VM {
	return cloudinit.VM{
		Hostname:       g.Server.Name,
		PrivateAddress: g.spec.Proxy.PrivateIP,
		PrivateNetwork: g.Network.CIDR,
		Egress:         g.spec.Proxy.Egress,
		NameServers:    g.spec.Proxy.NameServers,
		SSH:            len(g.spec.Proxy.SSHSources) > 0,
		Syslog:         g.spec.Proxy.Syslog,
	}
}

// renderSquidConf is the user data that holds squid.conf. The addresses must be
// known.
func (g *Graph) renderSquidConf() ([]byte, error) {
	conf, err := g.SquidConf()
	if err != nil {
		return nil, err
	}
	return cloudinit.EncodeSquidConf(conf)
}

// SquidConf renders the proxy's configuration. The addresses must be known.
func (g *Graph) SquidConf() ([]byte, error) {
	proxy := squid.Proxy{
		ListenAddress:  g.spec.Proxy.PrivateIP,
		ManagerPort:    cloudinit.ManagerPort,
		ClientNetworks: []netip.Prefix{g.Network.CIDR},
		EgressAddress:  g.spec.Proxy.PrivateIP,
		NameServers:    g.spec.Proxy.NameServers,
		Certificate:    cloudinit.Certificate,
		AuditLog:       cloudinit.AuditLog,
		ErrorPages:     cloudinit.ErrorPages,
		CacheLog:       cloudinit.CacheLog,
		PIDFile:        cloudinit.PIDFile,
	}
	for _, address := range g.Addresses {
		if address.Role == RoleShared {
			proxy.EgressAddress = address.Address
			continue
		}
		if proxy.DedicatedAddresses == nil {
			proxy.DedicatedAddresses = map[string]netip.Addr{}
		}
		proxy.DedicatedAddresses[tenantOfRole(address.Role)] = address.Address
	}
	return squid.Render(proxy, g.spec.Tenants)
}

func tenantOfRole(role string) string { return role[len(RoleTenant("")):] }

func (g *Graph) revisions() map[string]string {
	revisions := make(map[string]string, len(g.spec.Tenants))
	for _, tenant := range g.spec.Tenants {
		revisions[tenant.Name] = tenant.Revision()
	}
	return revisions
}
