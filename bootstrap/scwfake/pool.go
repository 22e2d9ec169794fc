package scwfake

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// The statuses of pools.
const (
	poolScaling  = "scaling"
	poolReady    = "ready"
	poolWarning  = "warning"
	poolDeleting = "deleting"
)

// pool is a set of nodes of one type in a cluster.
type pool struct {
	base
	cluster, version, kind, zone, group string
	size, minSize, maxSize              int
	autoscaling, autohealing, private   bool
	volumeSize                          uint64
	labels, kubelet                     map[string]string
	taints, startup                     []taint
	unavailable, surge                  int
	// problem is the pool's error message.
	problem string
}

// taint is a taint in the API's form.
type taint struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Effect string `json:"effect"`
}

func (a *API) poolRoutes() []route {
	const region = "/k8s/v1/regions/{region}"
	const collection, item = region + "/clusters/{cluster}/pools", region + "/pools/{id}"
	return []route{
		{method: http.MethodGet, pattern: collection, handle: a.listPools},
		{method: http.MethodPost, pattern: collection, handle: a.createPool, creates: "pool"},
		{method: http.MethodGet, pattern: item, handle: a.getPool},
		{method: http.MethodPatch, pattern: item, handle: a.updatePool},
		{method: http.MethodDelete, pattern: item, handle: a.deletePool},
		{method: http.MethodPut, pattern: item + "/set-labels", handle: a.setPoolLabels},
		{method: http.MethodPut, pattern: item + "/set-taints", handle: a.setPoolTaints},
		{method: http.MethodPut, pattern: item + "/set-startup-taints", handle: a.setPoolTaints},
		{method: http.MethodGet, pattern: region + "/clusters/{cluster}/nodes", handle: a.listNodes},
		{method: http.MethodGet, pattern: region + "/nodes/{id}", handle: a.getNode},
	}
}

func (a *API) viewPool(p *pool) object {
	view := a.common(&p.base)
	delete(view, "organization_id")
	delete(view, "project_id")
	view["region"] = p.place
	view["cluster_id"] = p.cluster
	view["status"] = p.status
	view["version"] = p.version
	view["node_type"] = p.kind
	view["autoscaling"] = p.autoscaling
	view["size"] = p.size
	view["min_size"] = p.minSize
	view["max_size"] = p.maxSize
	view["container_runtime"] = "containerd"
	view["autohealing"] = p.autohealing
	view["placement_group_id"] = nil
	view["kubelet_args"] = p.kubelet
	view["upgrade_policy"] = object{"max_unavailable": p.unavailable, "max_surge": p.surge}
	view["zone"] = p.zone
	view["root_volume_type"] = "sbs_5k"
	view["root_volume_size"] = p.volumeSize
	view["public_ip_disabled"] = p.private
	view["security_group_id"] = p.group
	view["labels"] = p.labels
	view["taints"] = p.taints
	view["startup_taints"] = p.startup
	view["error_message"] = orNull(p.problem)
	return view
}

func (a *API) poolsOf(k *cluster) []*pool {
	return a.pools.where(func(p *pool) bool { return p.cluster == k.id })
}

func (a *API) listPools(c *call) (any, error) {
	k, err := a.clusters.find(c.place(), c.values["cluster"])
	if err != nil {
		return nil, err
	}
	return list(c, &a.pools, "pools", func(p *pool) bool {
		return p.cluster == k.id && hasStatus(c, p.status) && strings.Contains(p.name, c.query.Get("name"))
	}, a.viewPool), nil
}

type createPoolRequest struct {
	Name        string            `json:"name"`
	NodeType    string            `json:"node_type"`
	Autoscaling bool              `json:"autoscaling"`
	Size        int               `json:"size"`
	MinSize     *int              `json:"min_size"`
	MaxSize     *int              `json:"max_size"`
	Autohealing bool              `json:"autohealing"`
	Tags        []string          `json:"tags"`
	Kubelet     map[string]string `json:"kubelet_args"`
	Policy      struct {
		Unavailable *int `json:"max_unavailable"`
		Surge       *int `json:"max_surge"`
	} `json:"upgrade_policy"`
	Zone       string            `json:"zone"`
	VolumeSize uint64            `json:"root_volume_size"`
	Private    bool              `json:"public_ip_disabled"`
	Group      string            `json:"security_group_id"`
	Labels     map[string]string `json:"labels"`
	Taints     []taint           `json:"taints"`
	Startup    []taint           `json:"startup_taints"`
}

func (a *API) createPool(c *call) (any, error) {
	k, err := a.steadyCluster(c.place(), c.values["cluster"])
	if err != nil {
		return nil, err
	}
	var in createPoolRequest
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	pools, err := a.newPools(k, []createPoolRequest{in})
	if err != nil {
		return nil, err
	}
	a.startPool(pools[0])
	return a.viewPool(pools[0]), nil
}

// newPools creates all of the pools, or returns an error and creates none.
func (a *API) newPools(k *cluster, requests []createPoolRequest) ([]*pool, error) {
	var pools []*pool
	for _, in := range requests {
		p, err := a.newPool(k, in)
		if err != nil {
			return nil, err
		}
		pools = append(pools, p)
	}
	for _, p := range pools {
		a.pools.add(p)
	}
	return pools, nil
}

func (a *API) newPool(k *cluster, in createPoolRequest) (*pool, error) {
	// The API answers pro2_xxs for PRO2-XXS in any spelling.
	kind := strings.ReplaceAll(strings.ToLower(in.NodeType), "-", "_")
	commercial := strings.ReplaceAll(strings.ToUpper(kind), "_", "-")
	zone := cmp.Or(in.Zone, k.place+"-1")
	switch _, ok := findType(commercial); {
	case in.Name == "":
		return nil, invalidArgument("name", "required", "")
	case !ok:
		return nil, invalidArgument("node_type", "constraint", "unknown node type "+in.NodeType)
	case regionOf(zone) != k.place:
		return nil, invalidArgument("zone", "constraint", zone+" is not in "+k.place)
	}
	group := in.Group
	if group == "" {
		group = a.defaultGroup(zone, "Kapsule default security group", k.project).id
	} else if _, err := a.securityGroups.find(zone, group); err != nil {
		return nil, err
	}
	p := &pool{
		base:    a.newBase(k.place, in.Name, k.project, in.Tags, poolScaling),
		cluster: k.id, version: k.version, kind: kind, zone: zone, group: group,
		size: in.Size, minSize: valueOr(in.MinSize, 0), maxSize: valueOr(in.MaxSize, in.Size),
		autoscaling: in.Autoscaling, autohealing: in.Autohealing, private: in.Private,
		volumeSize: cmp.Or(in.VolumeSize, 2*defaultVolumeSize),
		labels:     map[string]string{}, kubelet: map[string]string{},
		taints: sortedTaints(in.Taints), startup: sortedTaints(in.Startup),
		unavailable: valueOr(in.Policy.Unavailable, 1), surge: valueOr(in.Policy.Surge, 0),
	}
	maps.Copy(p.labels, in.Labels)
	maps.Copy(p.kubelet, in.Kubelet)
	return p, nil
}

func valueOr[T any](value *T, otherwise T) T {
	if value == nil {
		return otherwise
	}
	return *value
}

// sortedTaints is the order in which the API returns taints: by key.
func sortedTaints(taints []taint) []taint {
	sorted := listOf(taints)
	slices.SortStableFunc(sorted, func(x, y taint) int { return strings.Compare(x.Key, y.Key) })
	return sorted
}

// startPool schedules the pool's nodes, with which the cluster becomes ready.
func (a *API) startPool(p *pool) {
	a.set(&p.base, poolScaling)
	a.scaleNodes(p)
	a.schedule(p, hold(), step{after: a.duration(PoolReady), do: func() {
		if a.isShort(p.kind) {
			a.failPool(p)
			return
		}
		p.problem = ""
		a.set(&p.base, poolReady)
		for _, n := range a.nodesOf(p) {
			a.set(&n.base, nodeReady)
		}
		if k, err := a.clusters.find(p.place, p.cluster); err == nil && k.status == clusterPoolRequired {
			a.set(&k.base, clusterReady)
		}
	}})
}

// failPool is the effect of a type that is sold out: the pool stays in "warning", and
// its new nodes in "creation_error". Reconstructed from the SDK; no recording contains
// the messages.
func (a *API) failPool(p *pool) {
	p.problem = "some nodes could not be created"
	a.set(&p.base, poolWarning)
	for _, n := range a.nodesOf(p) {
		if n.status != nodeReady {
			n.problem = "resource is out of stock"
			a.set(&n.base, nodeCreationError)
		}
	}
}

func (a *API) getPool(c *call) (any, error) {
	p, err := get(c, &a.pools, "id")
	if err != nil {
		return nil, err
	}
	return a.viewPool(p), nil
}

// updatePool changes a pool in any status. The pool is "scaling" afterwards, as
// recorded. The refusal of a size outside its bounds is reconstructed: the recorded
// clients send both.
func (a *API) updatePool(c *call) (any, error) {
	p, err := a.pools.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	before := *p
	in := struct {
		Size        *int               `json:"size"`
		MinSize     *int               `json:"min_size"`
		MaxSize     *int               `json:"max_size"`
		Autoscaling *bool              `json:"autoscaling"`
		Autohealing *bool              `json:"autohealing"`
		Kubelet     *map[string]string `json:"kubelet_args"`
	}{&p.size, &p.minSize, &p.maxSize, &p.autoscaling, &p.autohealing, nil}
	if err := c.decode(&in); err != nil {
		*p = before
		return nil, err
	}
	if p.size != before.size && (p.size < p.minSize || p.size > p.maxSize) {
		refused := invalidArgument("size", "constraint", fmt.Sprintf("%d is not between %d and %d", p.size, p.minSize, p.maxSize))
		*p = before
		return nil, refused
	}
	if in.Kubelet != nil {
		p.kubelet = *in.Kubelet
	}
	if err := c.rename(&p.base); err != nil {
		return nil, err
	}
	a.startPool(p)
	return a.viewPool(p), nil
}

// setPoolLabels replaces the labels. The pool is "scaling" afterwards, as recorded.
func (a *API) setPoolLabels(c *call) (any, error) {
	p, err := a.pools.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	in := struct {
		Labels map[string]string `json:"labels"`
	}{}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	p.labels, p.updated = map[string]string{}, a.now()
	maps.Copy(p.labels, in.Labels)
	a.startPool(p)
	return a.viewPool(p), nil
}

// setPoolTaints replaces the taints, or the startup taints. The pool is "scaling"
// afterwards, as recorded.
func (a *API) setPoolTaints(c *call) (any, error) {
	p, err := a.pools.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	var in struct {
		Taints  *[]taint `json:"taints"`
		Startup *[]taint `json:"startup_taints"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.Taints != nil {
		p.taints = sortedTaints(*in.Taints)
	}
	if in.Startup != nil {
		p.startup = sortedTaints(*in.Startup)
	}
	p.updated = a.now()
	a.startPool(p)
	return a.viewPool(p), nil
}

func (a *API) deletePool(c *call) (any, error) {
	p, err := a.pools.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if p.status == poolDeleting {
		observe(a, p)
		return nil, transientState("pool", p.id, poolDeleting)
	}
	a.set(&p.base, poolDeleting)
	a.schedule(p, hold(), step{after: a.duration(PoolGone), do: func() { a.removePool(p) }})
	return a.viewPool(p), nil
}

// removePool also removes the nodes. A cluster without pools requires one again.
func (a *API) removePool(p *pool) {
	for _, n := range a.nodesOf(p) {
		a.removeNode(n)
	}
	a.pools.remove(p)
	k, err := a.clusters.find(p.place, p.cluster)
	if err == nil && k.status == clusterReady && len(a.poolsOf(k)) == 0 {
		a.set(&k.base, clusterPoolRequired)
	}
}

// nodeName returns a name in the recorded form: at most 17 characters of the names
// of cluster and pool.
func nodeName(k *cluster, p *pool, id string) string {
	short := func(name string) string { return name[:min(len(name), 17)] }
	return fmt.Sprintf("scw-%s-%s-%s", short(k.name), short(p.name), id[:6])
}
