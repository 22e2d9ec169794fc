package stack

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"egress.scw/bootstrap/config"
	"egress.scw/webhook/api/names"
)

// KindPool is the kind of Pool.
const KindPool Kind = "pool"

var poolRow = kindRow{
	kind:  KindPool,
	state: typed(func(p *Pool) string { return p.Status }),
	loss:  always("its nodes; their pods start elsewhere if they fit"),
}

// Pool is a pool of nodes without public addresses. Its role is its name.
type Pool struct {
	ResourceMeta
	Cluster  *Cluster
	NodeType string // in the API's form: pro2_xxs
	Zone     string
	VolumeGB int32
	// Size is the number of nodes; with autoscaling, the initial number.
	Size int32
	// Min and Max bound the number of nodes. Both are 0 without autoscaling.
	Min, Max    int32
	Autohealing bool
	Labels      map[string]string
	Taints      []Taint
	// Status is "ready", or the API's term.
	Status string
}

// Taint is a taint of a pool's nodes.
type Taint struct{ Key, Value, Effect string }

func (t Taint) String() string { return t.Key + "=" + t.Value + ":" + t.Effect }

// NormalNodeType returns a commercial type in the form of Kapsule's answers:
// PRO2-XXS is pro2_xxs.
func NormalNodeType(commercialType string) string {
	return strings.ReplaceAll(strings.ToLower(commercialType), "-", "_")
}

// newPool returns the pool of a configuration. A pool of a tenant gets the label
// and the taint of the tenant.
func newPool(pool config.Pool, cluster *Cluster) *Pool {
	result := &Pool{
		ResourceMeta: ResourceMeta{Name: pool.Name}, Cluster: cluster, NodeType: NormalNodeType(pool.NodeType), Zone: pool.Zone, VolumeGB: pool.VolumeGB,
		Size: pool.Size, Autohealing: *pool.Autohealing, Labels: map[string]string{}, Status: stateReady,
	}
	if pool.Autoscaling != nil {
		result.Min, result.Max = pool.Autoscaling.Min, pool.Autoscaling.Max
	}
	maps.Copy(result.Labels, pool.Labels)
	for _, taint := range pool.Taints {
		result.Taints = append(result.Taints, Taint(taint))
	}
	if pool.Tenant != "" {
		result.Labels[names.LabelTenant] = pool.Tenant
		result.Taints = append(result.Taints, Taint{names.LabelTenant, pool.Tenant, "NoSchedule"})
	}
	return result
}

// Key implements Resource.
func (p *Pool) Key() Key { return Key{KindPool, p.Name} }

// Needs implements Resource.
func (p *Pool) Needs() []Resource { return []Resource{p.Cluster} }

// Autoscaling reports whether the number of nodes varies.
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
		{Name: "taints", Value: joinStrings(p.Taints)},
	}
	if p.Autoscaling() {
		// The autoscaler decides how many nodes there are, and whether some of
		// them are being added or removed.
		return append(fields,
			Field{Name: "autoscaling", Value: fmt.Sprintf("%d to %d", p.Min, p.Max)})
	}
	return append(fields,
		Field{Name: "autoscaling", Value: "off"},
		Field{Name: "size", Value: strconv.Itoa(int(p.Size))},
		Field{Name: "status", Value: p.Status})
}

// CopyObserved implements Resource.
func (p *Pool) CopyObserved(observed Resource) { p.copyObserved(observed) }
