package config

import (
	"net/netip"
	"strings"

	"egress.scw/cloudinit"
)

const (
	defaultGatewayType    = "VPC-GW-S"
	defaultProxyType      = "PLAY2-NANO"
	defaultProxyImage     = "debian_trixie"
	defaultProxyVolumeGB  = 20
	defaultSyslogPort     = 6514 // RFC 5425.
	defaultCNI            = "cilium"
	defaultPoolSize       = 1
	defaultPoolVolumeGB   = 20
	defaultKubeconfigFile = "kubeconfig.yaml"
	defaultValuesFile     = "values.yaml"
	defaultKnownHostsFile = "known_hosts"
	defaultReplicas       = 1
)

// The ranges that Kapsule uses if a request omits them.
var (
	defaultPodCIDR     = netip.MustParsePrefix("100.64.0.0/15")
	defaultServiceCIDR = netip.MustParsePrefix("10.32.0.0/20")
)

// The settings that Scaleway uses if a request omits them.
const (
	defaultExpander      = "random"
	defaultScaleDownTime = "10m"
)

// publicResolvers are Scaleway's DNS caches by zone, as listed in June 2025 on
// its page "Scaleway network information". Zones that the page does not list are
// missing.
var publicResolvers = map[string][]netip.Addr{
	"fr-par-1": addresses("51.159.69.162", "51.159.69.156"),
	"fr-par-2": addresses("51.159.47.28", "51.159.47.26"),
	"fr-par-3": addresses("51.159.44.148", "51.159.44.151"),
	"nl-ams-1": addresses("51.158.139.28", "51.158.139.25"),
	"nl-ams-2": addresses("51.158.229.23", "51.158.229.25"),
	"nl-ams-3": addresses("51.159.253.3", "51.159.253.11"),
	"pl-waw-1": addresses("151.115.9.151", "151.115.9.153"),
	"pl-waw-2": addresses("151.115.69.15", "151.115.69.26"),
	"pl-waw-3": addresses("151.115.125.3", "151.115.125.11"),
}

func addresses(texts ...string) []netip.Addr {
	parsed := make([]netip.Addr, 0, len(texts))
	for _, text := range texts {
		parsed = append(parsed, netip.MustParseAddr(text))
	}
	return parsed
}

// SetDefaults sets the defaults that the types document, except for those that differ
// between machines, which Machines resolves. Defaults that depend on the zone stay unset
// if the zone has a wrong form. A second call has no effect.
func (e *Egress) SetDefaults() {
	s := &e.Spec
	if s.Region == "" {
		s.Region = regionOf(s.Zone)
	}
	s.Gateway.setDefaults(s.Zone)
	s.Proxy.setDefaults()
	if s.Cluster != nil {
		s.Cluster.setDefaults(s.Zone)
	}
	setDefault(&s.Outputs.Kubeconfig, defaultKubeconfigFile)
	setDefault(&s.Outputs.Values, defaultValuesFile)
	setDefault(&s.Outputs.KnownHosts, defaultKnownHostsFile)
	setDefaultTrue(&s.Outputs.HideKubeconfig)
}

func (g *Gateway) setDefaults(zone string) {
	setDefaultTrue(&g.Enabled)
	setDefault(&g.Zone, zone)
	setDefault(&g.Type, defaultGatewayType)
	setDefaultTrue(&g.Masquerade)
	setDefaultTrue(&g.DefaultRoute)
}

func (p *ProxyMachine) setDefaults() {
	setDefault(&p.Replicas, defaultReplicas)
	setDefault(&p.Type, defaultProxyType)
	setDefault(&p.Image, defaultProxyImage)
	setDefault(&p.VolumeGB, defaultProxyVolumeGB)
	setDefault(&p.SourceAddress, cloudinit.SourceFlexibleIP)
	setDefault(&p.Identity, cloudinit.IdentityPort)
	if p.AuditLog.Syslog != nil {
		setDefault(&p.AuditLog.Syslog.Port, defaultSyslogPort)
	}
}

func (c *Cluster) setDefaults(zone string) {
	if c.isCreated() {
		setDefault(&c.CNI, defaultCNI)
		setDefault(&c.PodCIDR, defaultPodCIDR)
		setDefault(&c.ServiceCIDR, defaultServiceCIDR)
		if c.Autoscaler == nil {
			c.Autoscaler = &Autoscaler{}
		}
		c.Autoscaler.setDefaults()
	}
	for i := range c.Pools {
		c.Pools[i].setDefaults(zone)
	}
}

func (a *Autoscaler) setDefaults() {
	setDefault(&a.Expander, defaultExpander)
	setDefault(&a.ScaleDownDelayAfterAdd, defaultScaleDownTime)
	setDefault(&a.ScaleDownUnneededTime, defaultScaleDownTime)
}

func (p *Pool) setDefaults(zone string) {
	setDefault(&p.Zone, zone)
	setDefault(&p.VolumeGB, defaultPoolVolumeGB)
	setDefaultTrue(&p.Autohealing)
	if p.Autoscaling != nil {
		setDefault(&p.Size, p.Autoscaling.Min)
	}
	setDefault(&p.Size, defaultPoolSize)
}

// regionOf returns the region of a zone (fr-par for fr-par-1). It is empty if
// the zone has a wrong form.
func regionOf(zone string) string {
	if !zoneForm.MatchString(zone) {
		return ""
	}
	return zone[:strings.LastIndexByte(zone, '-')]
}

func setDefault[T comparable](value *T, to T) {
	var unset T
	if *value == unset {
		*value = to
	}
}

func setDefaultTrue(value **bool) {
	if *value == nil {
		*value = new(true)
	}
}
