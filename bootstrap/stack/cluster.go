package stack

import (
	"cmp"
	"fmt"
	"net/netip"
)

// KindCluster is the kind of Cluster.
const KindCluster Kind = "cluster"

var clusterRow = kindRow{
	kind: KindCluster, deletedAfter: []Kind{KindPool},
	state: typed(func(c *Cluster) string { return c.Status }),
	loss:  always("all workloads in it, with the data of their volumes"),
}

// Cluster is the tenants' Kubernetes cluster.
type Cluster struct {
	ResourceMeta
	Network *PrivateNetwork
	// Version is the version to create the cluster with, or empty for the newest one.
	Version     string
	CNI         string
	PodCIDR     netip.Prefix
	ServiceCIDR netip.Prefix
	// ACL are the networks that may reach the control plane, sorted.
	ACL []netip.Prefix
	// ScalewayRanges reports whether all addresses of Scaleway may reach the control
	// plane, those of its other customers included; of observed clusters only.
	ScalewayRanges bool
	AutoUpgrade    AutoUpgrade
	Autoscaler     Autoscaler
	// Status is "ready", also while the cluster waits for its first pool, or the
	// API's term.
	Status string
}

// AutoUpgrade is a window of two hours for patches. The zero value is no window.
type AutoUpgrade struct {
	Day       string // monday to sunday, or any; empty: no window
	StartHour int32  // UTC
}

func (u AutoUpgrade) String() string {
	if u.Day == "" {
		return "off"
	}
	return fmt.Sprintf("%s %02d:00 UTC", u.Day, u.StartHour)
}

// Autoscaler contains the settings of the cluster's autoscaler.
type Autoscaler struct {
	Expander               string
	ScaleDownDisabled      bool
	ScaleDownDelayAfterAdd string
	ScaleDownUnneededTime  string
}

// Key implements Resource.
func (*Cluster) Key() Key { return Key{Kind: KindCluster} }

// Needs implements Resource.
func (c *Cluster) Needs() []Resource { return []Resource{c.Network} }

// Fields implements Resource. The version of an existing cluster equals every wanted
// one: bootstrap does not upgrade clusters.
func (c *Cluster) Fields() []Field {
	const fixed = "a cluster keeps the networks that it was created with"
	return []Field{
		{Name: "name", Value: c.Name},
		{Name: "version", Value: c.version()},
		{Name: "network", Value: idOf(&c.Network.ResourceMeta), Fixed: fixed},
		{Name: "cni", Value: c.CNI, Fixed: fixed},
		{Name: "pod CIDR", Value: c.PodCIDR.String(), Fixed: fixed},
		{Name: "service CIDR", Value: c.ServiceCIDR.String(), Fixed: fixed},
		{Name: "acl", Value: c.acl()},
		{Name: "auto upgrade", Value: c.AutoUpgrade.String()},
		{Name: "expander", Value: c.Autoscaler.Expander},
		{Name: "scale down disabled", Value: yesNo(c.Autoscaler.ScaleDownDisabled)},
		{Name: "scale down delay after add", Value: c.Autoscaler.ScaleDownDelayAfterAdd},
		{Name: "scale down unneeded time", Value: c.Autoscaler.ScaleDownUnneededTime},
		{Name: "status", Value: c.Status},
	}
}

func (c *Cluster) version() string {
	if c.exists() {
		return Any
	}
	return cmp.Or(c.Version, "newest")
}

func (c *Cluster) acl() string {
	sources := make([]string, 0, len(c.ACL)+1)
	for _, prefix := range c.ACL {
		sources = append(sources, prefix.String())
	}
	if c.ScalewayRanges {
		sources = append(sources, "all addresses of Scaleway")
	}
	return joinSorted(sources)
}

// CopyObserved implements Resource. The ranges of an existing cluster are the
// observed ones.
func (c *Cluster) CopyObserved(observed Resource) {
	c.copyObserved(observed)
	if cluster, ok := observed.(*Cluster); ok && c.Existing {
		c.Name, c.PodCIDR, c.ServiceCIDR = cluster.Name, cluster.PodCIDR, cluster.ServiceCIDR
	}
}
