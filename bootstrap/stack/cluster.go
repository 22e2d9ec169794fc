package stack

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Cluster is the tenants' Kubernetes cluster.
type Cluster struct {
	ResourceMeta
	Network     *PrivateNetwork
	Version     string
	CNI         string
	PodCIDR     netip.Prefix
	ServiceCIDR netip.Prefix
	// ACL are the networks that may reach the control plane, sorted.
	ACL         []netip.Prefix
	AutoUpgrade AutoUpgrade
	Autoscaler  Autoscaler
	// Status is "ready", also while it waits for its first pool, or what the
	// API calls it.
	Status string
}

// AutoUpgrade is a window of two hours for patches. The zero value is none.
type AutoUpgrade struct {
	Day       string // monday to sunday, or any; empty: none
	StartHour int32  // UTC
}

func (u AutoUpgrade) String() string {
	if u.Day == "" {
		return "off"
	}
	return fmt.Sprintf("%s %02d:00 UTC", u.Day, u.StartHour)
}

// Autoscaler is what can be set of the cluster's autoscaler.
type Autoscaler struct {
	Expander               string
	ScaleDownDisabled      bool
	ScaleDownDelayAfterAdd string
	ScaleDownUnneededTime  string
}

// DefaultAutoscaler is what Scaleway sets where nothing is asked for.
func DefaultAutoscaler() Autoscaler {
	return Autoscaler{Expander: "random", ScaleDownDelayAfterAdd: "10m", ScaleDownUnneededTime: "10m"}
}

// Key implements Resource.
func (*Cluster) Key() Key { return Key{Kind: KindCluster} }

// Needs implements Resource.
func (c *Cluster) Needs() []Resource { return []Resource{c.Network} }

// Fields implements Resource. The version is none: upgrades are a business of
// their own.
func (c *Cluster) Fields() []Field {
	const fixed = "a cluster keeps the networks that it was made with"
	return []Field{
		{Name: "name", Value: c.Name},
		{Name: "network", Value: idOf(&c.Network.ResourceMeta), Fixed: fixed},
		{Name: "cni", Value: c.CNI, Fixed: fixed},
		{Name: "pod CIDR", Value: c.PodCIDR.String(), Fixed: fixed},
		{Name: "service CIDR", Value: c.ServiceCIDR.String(), Fixed: fixed},
		{Name: "acl", Value: joinPrefixes(c.ACL)},
		{Name: "auto upgrade", Value: c.AutoUpgrade.String()},
		{Name: "expander", Value: c.Autoscaler.Expander},
		{Name: "scale down disabled", Value: yesNo(c.Autoscaler.ScaleDownDisabled)},
		{Name: "scale down delay after add", Value: c.Autoscaler.ScaleDownDelayAfterAdd},
		{Name: "scale down unneeded time", Value: c.Autoscaler.ScaleDownUnneededTime},
		{Name: "status", Value: c.Status},
	}
}

// CopyObserved implements Resource.
func (c *Cluster) CopyObserved(observed Resource) {
	c.adopt(observed)
	if c.Existing {
		cluster := observed.(*Cluster)
		c.Name, c.PodCIDR, c.ServiceCIDR = cluster.Name, cluster.PodCIDR, cluster.ServiceCIDR
	}
}

// Pool is a pool of nodes without public addresses. Its role is its name.
type Pool struct {
	ResourceMeta
	Cluster  *Cluster
	NodeType string // as the API writes it: pro2_xxs
	Zone     string
	VolumeGB int32
	// Size is the number of nodes; with autoscaling, the one to begin with.
	Size int32
	// Min and Max bound the number of nodes. Both are 0 without autoscaling.
	Min, Max    int32
	Autohealing bool
	Labels      map[string]string
	Taints      []Taint
	// Status is "ready", or what the API calls it.
	Status string
}

// Taint is a taint of a pool's nodes.
type Taint struct{ Key, Value, Effect string }

func (t Taint) String() string { return t.Key + "=" + t.Value + ":" + t.Effect }

// Key implements Resource.
func (p *Pool) Key() Key { return Key{KindPool, p.Name} }

// Needs implements Resource.
func (p *Pool) Needs() []Resource { return []Resource{p.Cluster} }

// Autoscaling says whether the number of nodes varies.
func (p *Pool) Autoscaling() bool { return p.Max > 0 }

// Fields implements Resource.
func (p *Pool) Fields() []Field {
	const fixed = "a pool keeps the kind of its nodes"
	fields := []Field{
		{Name: "cluster", Value: idOf(&p.Cluster.ResourceMeta), Fixed: "a pool stays in its cluster"},
		{Name: "node type", Value: p.NodeType, Fixed: fixed},
		{Name: "zone", Value: p.Zone, Fixed: fixed},
		{Name: "volume", Value: gigabytes(p.VolumeGB), Fixed: fixed},
		{Name: "autohealing", Value: yesNo(p.Autohealing)},
		{Name: "labels", Value: joinLabels(p.Labels)},
		{Name: "taints", Value: joinTaints(p.Taints)},
	}
	if p.Autoscaling() {
		// How many nodes there are, and whether some are coming or going, is
		// the autoscaler's business.
		return append(fields,
			Field{Name: "autoscaling", Value: fmt.Sprintf("%d to %d", p.Min, p.Max)})
	}
	return append(fields,
		Field{Name: "autoscaling", Value: "off"},
		Field{Name: "size", Value: strconv.Itoa(int(p.Size))},
		Field{Name: "status", Value: p.Status})
}

// CopyObserved implements Resource.
func (p *Pool) CopyObserved(observed Resource) { p.adopt(observed) }

// Registry is a namespace of the container registry. It can carry no tags: its
// description says whose it is.
type Registry struct {
	ResourceMeta
	Public bool
	// Endpoint is where images are pushed to; empty until it is made.
	Endpoint string
}

// RegistryDescription marks a registry namespace as made by the set-up of that
// name.
func RegistryDescription(name string) string { return "made by bootstrap: " + OwnerTag(name) }

// Key implements Resource.
func (*Registry) Key() Key { return Key{Kind: KindRegistry} }

// Needs implements Resource.
func (*Registry) Needs() []Resource { return nil }

// Fields implements Resource.
func (r *Registry) Fields() []Field {
	return []Field{
		{Name: "name", Value: r.Name, Fixed: "a namespace keeps its name"},
		{Name: "public", Value: yesNo(r.Public)},
	}
}

// CopyObserved implements Resource.
func (r *Registry) CopyObserved(observed Resource) {
	r.adopt(observed)
	r.Endpoint = observed.(*Registry).Endpoint
}

func joinPrefixes(prefixes []netip.Prefix) string {
	texts := make([]string, 0, len(prefixes))
	for _, prefix := range prefixes {
		texts = append(texts, prefix.String())
	}
	return joinSorted(texts)
}

func joinLabels(labels map[string]string) string {
	texts := make([]string, 0, len(labels))
	for key, value := range labels {
		texts = append(texts, key+"="+value)
	}
	return joinSorted(texts)
}

func joinTaints(taints []Taint) string {
	texts := make([]string, 0, len(taints))
	for _, taint := range taints {
		texts = append(texts, taint.String())
	}
	return joinSorted(texts)
}

// joinSorted is a list in the order that does not depend on who wrote it.
func joinSorted(texts []string) string {
	if len(texts) == 0 {
		return "none"
	}
	slices.Sort(texts)
	return strings.Join(texts, ", ")
}
