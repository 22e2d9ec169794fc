package config

import (
	"strings"

	"egress.scw/cloudinit"
)

// Defaults of egress.yaml.
const (
	defaultGatewayType    = "VPC-GW-S"
	defaultProxyType      = "PLAY2-NANO"
	defaultProxyImage     = "debian_bookworm"
	defaultProxyVolumeGB  = 20
	defaultSyslogPort     = 6514 // RFC 5425.
	defaultCNI            = "cilium"
	defaultPodCIDR        = "100.64.0.0/15" // Kapsule's own.
	defaultServiceCIDR    = "10.32.0.0/20"  // Kapsule's own.
	defaultPoolSize       = 1
	defaultPoolVolumeGB   = 20
	defaultKubeconfigFile = "kubeconfig.yaml"
	defaultValuesFile     = "values.yaml"
)

// SetDefaults fills in what egress.yaml leaves open, as its types say.
// Whatever depends on a zone stays open while that is not well-formed. Calling
// it twice changes nothing.
func (e *Egress) SetDefaults() {
	if e.Region == "" {
		e.Region = regionOf(e.Zone)
	}
	e.Gateway.setDefaults()
	e.Proxy.setDefaults(e.Zone)
	if e.Cluster != nil {
		e.Cluster.setDefaults(e.Zone)
	}
	setDefault(&e.Outputs.Kubeconfig, defaultKubeconfigFile)
	setDefault(&e.Outputs.Values, defaultValuesFile)
	setDefaultTrue(&e.Outputs.HideKubeconfig)
}

func (g *GatewayConfig) setDefaults() {
	setDefaultTrue(&g.Enabled)
	setDefault(&g.Type, defaultGatewayType)
	setDefaultTrue(&g.Masquerade)
	setDefaultTrue(&g.DefaultRoute)
}

func (p *ProxyConfig) setDefaults(zone string) {
	setDefault(&p.Type, defaultProxyType)
	setDefault(&p.Image, defaultProxyImage)
	setDefault(&p.VolumeGB, defaultProxyVolumeGB)
	setDefault(&p.Egress, cloudinit.SourceFlexibleIP)
	if p.AuditLog.Syslog != nil {
		setDefault(&p.AuditLog.Syslog.Port, defaultSyslogPort)
	}
	if len(p.NameServers) == 0 {
		p.NameServers = publicResolvers(zone)
	}
}

func (c *ClusterConfig) setDefaults(zone string) {
	if c.isCreated() {
		setDefault(&c.CNI, defaultCNI)
		setDefault(&c.PodCIDR, defaultPodCIDR)
		setDefault(&c.ServiceCIDR, defaultServiceCIDR)
	}
	for i := range c.Pools {
		pool := &c.Pools[i]
		setDefault(&pool.Zone, zone)
		setDefault(&pool.VolumeGB, defaultPoolVolumeGB)
		setDefaultTrue(&pool.Autohealing)
		if pool.Autoscaling != nil {
			setDefault(&pool.Size, pool.Autoscaling.Min)
		}
		setDefault(&pool.Size, defaultPoolSize)
	}
}

// isCreated says whether bootstrap makes the cluster, rather than finding it.
func (c *ClusterConfig) isCreated() bool { return c.ID == "" && len(c.CIDRs) == 0 }

// regionOf returns the region of a zone (fr-par of fr-par-1), or nothing.
func regionOf(zone string) string {
	if !matches(patternZone, zone) {
		return ""
	}
	return zone[:strings.LastIndexByte(zone, '-')]
}

// publicResolvers are Scaleway's own DNS caches in a zone, as its page
// "Scaleway network information" listed them in June 2025; none of zones that
// it did not list.
func publicResolvers(zone string) []string {
	switch zone {
	case "fr-par-1":
		return []string{"51.159.69.162", "51.159.69.156"}
	case "fr-par-2":
		return []string{"51.159.47.28", "51.159.47.26"}
	case "fr-par-3":
		return []string{"51.159.44.148", "51.159.44.151"}
	case "nl-ams-1":
		return []string{"51.158.139.28", "51.158.139.25"}
	case "nl-ams-2":
		return []string{"51.158.229.23", "51.158.229.25"}
	case "nl-ams-3":
		return []string{"51.159.253.3", "51.159.253.11"}
	case "pl-waw-1":
		return []string{"151.115.9.151", "151.115.9.153"}
	case "pl-waw-2":
		return []string{"151.115.69.15", "151.115.69.26"}
	case "pl-waw-3":
		return []string{"151.115.125.3", "151.115.125.11"}
	default:
		return nil
	}
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
