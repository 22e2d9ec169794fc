package stack

import (
	"fmt"
	"maps"
	"net/netip"

	"egress.scw/bootstrap/config"
	"egress.scw/cloudinit"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// Spec is a valid egress.yaml in typed form.
type Spec struct {
	Name    string
	Project string
	Region  string
	Zone    string

	// NetworkID is that of a network that is given; else NetworkCIDR is the
	// range of the one to create.
	NetworkID   string
	NetworkCIDR netip.Prefix

	// Gateway is nil if there is to be none.
	Gateway *GatewaySpec
	Proxy   ProxySpec
	// Cluster is nil if bootstrap has nothing to do with one.
	Cluster *ClusterSpec
	// ClusterCIDRs are the ranges of a cluster that is somebody else's.
	ClusterCIDRs []netip.Prefix
	Registry     *RegistrySpec
	Tenants      []v1alpha1.Tenant
}

// GatewaySpec is the Public Gateway that is wanted.
type GatewaySpec struct {
	Type                     string
	Masquerade, DefaultRoute bool
}

// ProxySpec is the proxy that is wanted.
type ProxySpec struct {
	Type, Image string
	VolumeGB    int32
	PrivateIP   netip.Addr
	Egress      cloudinit.SourceAddress
	NameServers []netip.Addr
	SSHSources  []netip.Prefix
	Syslog      *cloudinit.Syslog
}

// ClusterSpec is the cluster that is wanted.
type ClusterSpec struct {
	// ID is that of a cluster that is given; then only Pools counts.
	ID                   string
	Version, CNI         string
	PodCIDR, ServiceCIDR netip.Prefix
	ACL                  []netip.Prefix
	AutoUpgrade          AutoUpgrade
	Autoscaler           Autoscaler
	Pools                []PoolSpec
}

// PoolSpec is a pool that is wanted.
type PoolSpec struct {
	Name, NodeType, Zone string
	VolumeGB             int32
	Size, Min, Max       int32
	Autohealing          bool
	Labels               map[string]string
	Taints               []Taint
}

// RegistrySpec is the registry namespace that is wanted.
type RegistrySpec struct {
	Name   string
	Public bool
}

// NewSpec reads a configuration that is valid and has its defaults. The project
// is the one to fall back on, from the credentials. An error means that the
// configuration was not validated.
func NewSpec(config *config.Egress, project string) (Spec, error) {
	p := parser{}
	spec := Spec{
		Name: config.Name, Project: config.Project, Region: config.Region, Zone: config.Zone,
		NetworkID: config.Network.ID, NetworkCIDR: p.optionalPrefix(config.Network.CIDR),
		Tenants: config.Tenants,
		Proxy: ProxySpec{
			Type: config.Proxy.Type, Image: config.Proxy.Image, VolumeGB: config.Proxy.VolumeGB,
			PrivateIP: p.address(config.Proxy.PrivateIP), Egress: config.Proxy.Egress,
			NameServers: p.addresses(config.Proxy.NameServers), SSHSources: p.prefixes(config.Proxy.SSHSources),
			Syslog: config.Proxy.AuditLog.Syslog,
		},
	}
	if spec.Project == "" {
		spec.Project = project
	}
	if *config.Gateway.Enabled {
		spec.Gateway = &GatewaySpec{config.Gateway.Type, *config.Gateway.Masquerade, *config.Gateway.DefaultRoute}
	}
	if c := config.Cluster; c != nil {
		spec.ClusterCIDRs = p.prefixes(c.CIDRs)
		if len(c.CIDRs) == 0 {
			spec.Cluster = p.cluster(c)
		}
	}
	if config.Registry != nil {
		spec.Registry = &RegistrySpec{config.Registry.Name, config.Registry.Public}
	}
	return spec, p.err
}

// parser keeps the first error, which only a configuration that was not
// validated can have.
type parser struct{ err error }

func (p *parser) note(err error) {
	if p.err == nil && err != nil {
		p.err = fmt.Errorf("reading a configuration that was not validated: %w", err)
	}
}

func (p *parser) address(text string) netip.Addr {
	address, err := netip.ParseAddr(text)
	p.note(err)
	return address
}

func (p *parser) addresses(texts []string) []netip.Addr {
	var addresses []netip.Addr
	for _, text := range texts {
		addresses = append(addresses, p.address(text))
	}
	return addresses
}

func (p *parser) optionalPrefix(text string) netip.Prefix {
	if text == "" {
		return netip.Prefix{}
	}
	prefix, err := netip.ParsePrefix(text)
	p.note(err)
	return prefix
}

func (p *parser) prefixes(texts []string) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, text := range texts {
		prefixes = append(prefixes, p.optionalPrefix(text))
	}
	return prefixes
}

func (p *parser) cluster(c *config.ClusterConfig) *ClusterSpec {
	spec := &ClusterSpec{
		ID: c.ID, Version: c.Version, CNI: c.CNI,
		PodCIDR: p.optionalPrefix(c.PodCIDR), ServiceCIDR: p.optionalPrefix(c.ServiceCIDR),
		ACL: p.prefixes(c.ACL), Autoscaler: autoscaler(c.Autoscaler),
	}
	if c.AutoUpgrade != nil {
		spec.AutoUpgrade = AutoUpgrade{c.AutoUpgrade.Day, c.AutoUpgrade.StartHour}
	}
	for _, pool := range c.Pools {
		spec.Pools = append(spec.Pools, newPoolSpec(pool))
	}
	return spec
}

func autoscaler(config *config.AutoscalerConfig) Autoscaler {
	result := DefaultAutoscaler()
	if config == nil {
		return result
	}
	if config.Expander != "" {
		result.Expander = config.Expander
	}
	if config.ScaleDownDisabled != nil {
		result.ScaleDownDisabled = *config.ScaleDownDisabled
	}
	if config.ScaleDownDelayAfterAdd != "" {
		result.ScaleDownDelayAfterAdd = config.ScaleDownDelayAfterAdd
	}
	if config.ScaleDownUnneededTime != "" {
		result.ScaleDownUnneededTime = config.ScaleDownUnneededTime
	}
	return result
}

func newPoolSpec(config config.PoolConfig) PoolSpec {
	pool := PoolSpec{
		Name: config.Name, Zone: config.Zone, VolumeGB: config.VolumeGB, Size: config.Size,
		NodeType: NormalNodeType(config.NodeType), Autohealing: *config.Autohealing, Labels: map[string]string{},
	}
	if config.Autoscaling != nil {
		pool.Min, pool.Max = config.Autoscaling.Min, config.Autoscaling.Max
	}
	maps.Copy(pool.Labels, config.Labels)
	for _, taint := range config.Taints {
		pool.Taints = append(pool.Taints, Taint(taint))
	}
	if config.Tenant != "" {
		pool.Labels[names.LabelTenant] = config.Tenant
		pool.Taints = append(pool.Taints, Taint{names.LabelTenant, config.Tenant, "NoSchedule"})
	}
	return pool
}
