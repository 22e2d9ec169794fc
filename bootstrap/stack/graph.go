package stack

import (
	"net/netip"
	"slices"
)

// kinds are the rows of all kinds, in the order in which plans list them: each
// kind after those that it needs.
var kinds = []kindRow{
	vpcRow, privateNetworkRow, gatewayRow, gatewayNetworkRow,
	securityGroupRow, flexibleIPRow, privateIPRow, serverRow, volumeRow, privateNICRow, attachmentRow, userDataRow, powerRow,
	clusterRow, poolRow, registryRow,
}

// Graph contains the resources that should exist. Diff and Run change them: the
// resources receive their IDs and addresses while a plan is made and carried out.
type Graph struct {
	VPC            *VPC // nil for an existing network that egress.yaml names
	Network        *PrivateNetwork
	Gateway        *Gateway        // nil if there is none
	GatewayNetwork *GatewayNetwork // nil if there is none
	Proxies        []*ProxyMachine // at least one
	// SpareIP is the private address of Spare, which is reserved in advance. Nil if the stack
	// never has such a machine.
	SpareIP *PrivateIP
	// Spare is the machine that serves while the only one of Proxies is replaced. Nil if it is
	// not wanted.
	Spare *ProxyMachine
	// SparePublicIP is the public address of a machine that boots while the other one has
	// the egress addresses. Nil if there is none.
	SparePublicIP *FlexibleIP
	Cluster       *Cluster  // nil if there is none
	Registry      *Registry // nil if there is none

	spec      Spec
	surge     *surge
	resources []Resource // all of them, each after the resources that it needs
}

// Resources returns all resources, each after the resources that it needs.
func (g *Graph) Resources() []Resource { return slices.Clone(g.resources) }

// Desired builds the resources that should exist for a configuration. It returns
// an error if a machine's user data cannot be rendered.
func Desired(spec Spec) (*Graph, error) { return desired(spec, nil) }

// desired builds the resources that should exist, or that should exist for a while.
func desired(spec Spec, surge *surge) (*Graph, error) {
	g := &Graph{spec: spec, surge: surge}
	g.addNetwork()
	g.addGateway()
	g.addProxies()
	if err := g.renderCloudInit(); err != nil {
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

// ResourceName returns the name of a resource of which a stack has one.
func ResourceName(name string) string { return "egress-" + name }

func (g *Graph) addNetwork() {
	if g.spec.Network.ID != "" {
		g.Network = &PrivateNetwork{ResourceMeta: ResourceMeta{ID: g.spec.Network.ID, Existing: true}}
		g.add(g.Network)
		return
	}
	name := ResourceName(g.spec.Name)
	g.VPC = &VPC{ResourceMeta{Name: name}}
	g.Network = &PrivateNetwork{ResourceMeta: ResourceMeta{Name: name}, VPC: g.VPC, CIDR: g.spec.Network.CIDR}
	g.add(g.VPC)
	g.add(g.Network)
}

func (g *Graph) addGateway() {
	if !*g.spec.Gateway.Enabled {
		return
	}
	name := ResourceName(g.spec.Name)
	g.Gateway = &Gateway{ResourceMeta: ResourceMeta{Name: name}, Zone: g.spec.Gateway.Zone, Type: g.spec.Gateway.Type, Status: stateReady}
	g.GatewayNetwork = &GatewayNetwork{
		ResourceMeta: ResourceMeta{Name: name}, Gateway: g.Gateway, Network: g.Network, Status: stateReady,
		Masquerade: *g.spec.Gateway.Masquerade, DefaultRoute: *g.spec.Gateway.DefaultRoute,
	}
	g.add(g.Gateway)
	g.add(g.GatewayNetwork)
}

func (g *Graph) addCluster() {
	spec := g.spec.Cluster
	if !spec.BootstrapManages() {
		return
	}
	if spec.ID != "" {
		g.Cluster = &Cluster{ResourceMeta: ResourceMeta{ID: spec.ID, Existing: true}, Network: g.Network}
	} else {
		acl := spec.ACL
		if len(acl) == 0 {
			acl = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0)} // Scaleway's default
		}
		g.Cluster = &Cluster{
			ResourceMeta: ResourceMeta{Name: ResourceName(g.spec.Name)}, Network: g.Network, Version: spec.Version, CNI: spec.CNI,
			PodCIDR: spec.PodCIDR, ServiceCIDR: spec.ServiceCIDR, ACL: acl,
			Autoscaler: Autoscaler(*spec.Autoscaler), Status: stateReady,
		}
		if spec.AutoUpgrade != nil {
			g.Cluster.AutoUpgrade = AutoUpgrade(*spec.AutoUpgrade)
		}
	}
	g.add(g.Cluster)
	for _, pool := range spec.Pools {
		g.add(newPool(pool, g.Cluster))
	}
}

// renderCloudInit renders the user data that the machines boot from. It needs the
// range of the network. The range of an existing network is only known once the
// network has been observed; until then there is no user data.
func (g *Graph) renderCloudInit() error {
	if !g.Network.CIDR.IsValid() {
		return nil
	}
	for _, proxy := range g.Proxies {
		if err := proxy.renderCloudInit(); err != nil {
			return err
		}
	}
	if g.Spare != nil {
		return g.renderSpare()
	}
	return nil
}
