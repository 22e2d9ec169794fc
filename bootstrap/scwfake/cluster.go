package scwfake

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
)

// The statuses of clusters.
const (
	clusterCreating     = "creating"
	clusterPoolRequired = "pool_required"
	clusterReady        = "ready"
	clusterUpdating     = "updating"
	clusterDeleting     = "deleting"
)

// cluster is a Kubernetes cluster.
type cluster struct {
	base
	kind, description, version, cni, network string
	podCIDR, serviceCIDR                     netip.Prefix
	dnsIP                                    netip.Addr
	gates, plugins, sans                     []string
	// autoscaler, upgrade and oidc are in the form of the API's answers.
	autoscaler, upgrade, oidc object
	acls                      []acl
	nodesGroup                string
}

func (a *API) clusterRoutes() []route {
	const region = "/k8s/v1/regions/{region}"
	const collection, item = region + "/clusters", region + "/clusters/{id}"
	return []route{
		{method: http.MethodGet, pattern: region + "/versions", handle: a.listVersions},
		{method: http.MethodGet, pattern: region + "/versions/{name}", handle: a.getVersion},
		{method: http.MethodGet, pattern: collection, handle: a.listClusters},
		{method: http.MethodPost, pattern: collection, handle: a.createCluster, creates: "cluster"},
		{method: http.MethodGet, pattern: item, handle: a.getCluster},
		{method: http.MethodPatch, pattern: item, handle: a.updateCluster},
		{method: http.MethodDelete, pattern: item, handle: a.deleteCluster},
		{method: http.MethodGet, pattern: item + "/acls", handle: a.listACLs},
		{method: http.MethodPut, pattern: item + "/acls", handle: a.setACLs},
		{method: http.MethodGet, pattern: item + "/kubeconfig", handle: a.getKubeconfig},
	}
}

func (a *API) viewCluster(c *cluster) object {
	view := a.common(&c.base)
	view["region"] = c.place
	view["type"] = c.kind
	view["description"] = c.description
	view["status"] = c.status
	view["version"] = c.version
	view["cni"] = c.cni
	view["cluster_url"] = fmt.Sprintf("https://%s.api.k8s.%s.scw.cloud:6443", c.id, c.place)
	view["dns_wildcard"] = fmt.Sprintf("*.%s.nodes.k8s.%s.scw.cloud", c.id, c.place)
	view["autoscaler_config"] = c.autoscaler
	view["auto_upgrade"] = c.upgrade
	view["upgrade_available"] = false
	view["feature_gates"] = c.gates
	view["admission_plugins"] = c.plugins
	view["open_id_connect_config"] = c.oidc
	view["apiserver_cert_sans"] = c.sans
	view["private_network_id"] = c.network
	view["commitment_ends_at"] = stamp(c.created)
	view["acl_available"] = true
	// According to the recordings, both appear together with the control plane.
	view["iam_nodes_group_id"] = c.nodesGroup
	view["new_images_enabled"] = c.nodesGroup != ""
	view["pod_cidr"] = c.podCIDR
	view["service_cidr"] = c.serviceCIDR
	view["service_dns_ip"] = c.dnsIP
	return view
}

func (a *API) listClusters(c *call) (any, error) {
	keep := func(k *cluster) bool {
		return matches(c.query, &k.base) && hasStatus(c, k.status) && is(c.query, "type", k.kind) &&
			is(c.query, "private_network_id", k.network)
	}
	for _, k := range a.clusters.where(func(k *cluster) bool { return k.place == c.place() && keep(k) }) {
		observe(a, a.poolsOf(k)...)
	}
	return list(c, &a.clusters, "clusters", keep, a.viewCluster), nil
}

// hasStatus filters by status. The SDK sends "unknown" for any status.
func hasStatus(c *call, status string) bool {
	return c.query.Get("status") == "unknown" || is(c.query, "status", status)
}

type createClusterRequest struct {
	ProjectID   string              `json:"project_id"`
	Type        string              `json:"type"`
	Name        string              `json:"name"`
	Description string              `json:"description"`
	Tags        []string            `json:"tags"`
	Version     string              `json:"version"`
	CNI         string              `json:"cni"`
	Pools       []createPoolRequest `json:"pools"`
	Network     string              `json:"private_network_id"`
	PodCIDR     netip.Prefix        `json:"pod_cidr"`
	ServiceCIDR netip.Prefix        `json:"service_cidr"`
	DNSIP       netip.Addr          `json:"service_dns_ip"`
	clusterSettings
}

// clusterSettings are the settings that a PATCH can also change.
type clusterSettings struct {
	Autoscaler object   `json:"autoscaler_config"`
	Upgrade    object   `json:"auto_upgrade"`
	OIDC       object   `json:"open_id_connect_config"`
	Gates      []string `json:"feature_gates"`
	Plugins    []string `json:"admission_plugins"`
	SANs       []string `json:"apiserver_cert_sans"`
}

func (a *API) createCluster(c *call) (any, error) {
	var in createClusterRequest
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	switch {
	case in.Name == "":
		return nil, invalidArgument("name", "required", "")
	case in.Network == "":
		return nil, invalidArgument("private_network_id", "required", "a cluster needs a Private Network")
	}
	if err := checkVersion(in.Version, in.CNI); err != nil {
		return nil, err
	}
	if _, err := a.privateNetworks.find(c.place(), in.Network); err != nil {
		return nil, err
	}
	k := &cluster{
		base: c.newBase(in.Name, in.ProjectID, in.Tags, clusterCreating), kind: cmp.Or(in.Type, "kapsule"),
		description: in.Description, version: in.Version, cni: in.CNI, network: in.Network,
		podCIDR:     cmp.Or(in.PodCIDR, netip.MustParsePrefix("100.64.0.0/15")),
		serviceCIDR: cmp.Or(in.ServiceCIDR, netip.MustParsePrefix("10.32.0.0/20")),
		gates:       []string{}, plugins: []string{}, sans: []string{},
		autoscaler: object{
			"scale_down_disabled": false, "scale_down_delay_after_add": "10m", "estimator": "binpacking", "expander": "random",
			"ignore_daemonsets_utilization": false, "balance_similar_node_groups": false, "expendable_pods_priority_cutoff": 0,
			"scale_down_unneeded_time": "10m", "scale_down_utilization_threshold": 0.5, "max_graceful_termination_sec": 0,
		},
		upgrade: object{"enabled": false, "maintenance_window": object{"start_hour": 0, "day": "any"}},
		oidc: object{
			"issuer_url": "", "client_id": "", "username_claim": "", "username_prefix": "", "groups_claim": []string{},
			"groups_prefix": "", "required_claim": []string{},
		},
		acls: []acl{{ID: newID(), IP: "0.0.0.0/0"}},
	}
	k.dnsIP = cmp.Or(in.DNSIP, tenth(k.serviceCIDR))
	k.apply(in.clusterSettings)
	pools, err := a.newPools(k, in.Pools)
	if err != nil {
		return nil, err
	}
	a.clusters.add(k)
	view := a.viewCluster(k)
	a.schedule(k, hold(), step{after: a.duration(ClusterPoolRequired), do: func() {
		k.nodesGroup = newID()
		a.set(&k.base, clusterPoolRequired)
		for _, p := range pools {
			a.startPool(p)
		}
	}})
	return view, nil
}

// tenth returns the default address of the cluster's DNS: 10.32.0.10 in the
// recorded 10.32.0.0/20.
func tenth(prefix netip.Prefix) netip.Addr {
	address := prefix.Masked().Addr()
	for range 10 {
		address = address.Next()
	}
	return address
}

// apply copies the settings of the request. It ignores the defaults that the SDK
// sends ("unknown_estimator", null).
func (c *cluster) apply(in clusterSettings) {
	c.autoscaler = overlay(c.autoscaler, in.Autoscaler)
	c.oidc = overlay(c.oidc, in.OIDC)
	if in.Upgrade != nil {
		if enable, ok := in.Upgrade["enable"]; ok {
			in.Upgrade["enabled"] = enable
		}
		c.upgrade = overlay(c.upgrade, in.Upgrade)
	}
	for _, pair := range []struct {
		into *[]string
		from []string
	}{{&c.gates, in.Gates}, {&c.plugins, in.Plugins}, {&c.sans, in.SANs}} {
		if pair.from != nil {
			*pair.into = pair.from
		}
	}
}

// overlay returns a copy of the object with the values that are set. It does not
// add keys.
func overlay(under, over object) object {
	result := maps.Clone(under)
	for key := range result {
		if value := over[key]; value != nil && value != "unknown_estimator" && value != "unknown_expander" {
			result[key] = value
		}
	}
	return result
}

func (a *API) getCluster(c *call) (any, error) {
	k, err := get(c, &a.clusters, "id")
	if err != nil {
		return nil, err
	}
	// A cluster becomes ready with its pools.
	observe(a, a.poolsOf(k)...)
	return a.viewCluster(k), nil
}

// steadyCluster returns a cluster that can be changed now.
func (a *API) steadyCluster(place, id string) (*cluster, error) {
	k, err := a.clusters.find(place, id)
	if err != nil {
		return nil, err
	}
	if status := k.status; status != clusterPoolRequired && status != clusterReady {
		observe(a, k)
		return nil, transientState("cluster", k.id, status)
	}
	return k, nil
}

// updating is the recorded effect of a change: the cluster is "updating", then "ready",
// also if it has no pool.
func (a *API) updating(k *cluster) {
	a.set(&k.base, clusterUpdating)
	a.schedule(k, hold(), step{after: a.duration(ClusterUpdated), do: func() { a.set(&k.base, clusterReady) }})
}

func (a *API) updateCluster(c *call) (any, error) {
	k, err := a.steadyCluster(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	var in struct {
		Description *string `json:"description"`
		clusterSettings
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.Description != nil {
		k.description = *in.Description
	}
	k.apply(in.clusterSettings)
	if err := c.rename(&k.base); err != nil {
		return nil, err
	}
	a.updating(k)
	return a.viewCluster(k), nil
}

// deleteCluster also deletes the pools, and the Private Network if the request
// demands it.
func (a *API) deleteCluster(c *call) (any, error) {
	k, err := a.clusters.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if k.status == clusterDeleting {
		observe(a, k)
		return nil, transientState("cluster", k.id, clusterDeleting)
	}
	additional := c.query.Get("with_additional_resources") == "true"
	a.set(&k.base, clusterDeleting)
	for _, p := range a.poolsOf(k) {
		a.set(&p.base, poolDeleting)
		a.schedule(p)
	}
	a.schedule(k, hold(), step{after: a.duration(ClusterGone), do: func() { a.removeCluster(k, additional) }})
	return a.viewCluster(k), nil
}

func (a *API) removeCluster(k *cluster, additional bool) {
	for _, p := range a.poolsOf(k) {
		a.removePool(p)
	}
	a.clusters.remove(k)
	if !additional {
		return
	}
	if network, err := a.privateNetworks.find(k.place, k.network); err == nil && !a.networkInUse(network) {
		a.privateNetworks.remove(network)
	}
}

// getKubeconfig refuses until there is a control plane. The message is
// reconstructed.
func (a *API) getKubeconfig(c *call) (any, error) {
	k, err := a.clusters.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if k.status == clusterCreating || k.status == clusterDeleting {
		status := k.status
		observe(a, k)
		return nil, transientState("cluster", k.id, status)
	}
	id, name := k.id, k.name
	return late(func() (any, error) {
		content, err := a.options.Kubeconfig(id, name)
		if err != nil {
			return nil, fmt.Errorf("kubeconfig of cluster %s: %w", id, err)
		}
		return object{"name": "kubeconfig", "content_type": "application/octet-stream", "content": content}, nil
	}), nil
}

// defaultKubeconfig has the recorded form. Its server does not exist.
func defaultKubeconfig(clusterID, name string) ([]byte, error) {
	quoted, err := json.Marshal(name)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `apiVersion: v1
clusters:
- name: %[2]s
  cluster:
    certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCi0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K
    server: https://%[1]s.api.k8s.fr-par.scw.cloud:6443
contexts:
- name: admin
  context:
    cluster: %[2]s
    user: admin
current-context: admin
kind: Config
preferences: {}
users:
- name: admin
  user:
    token: scwfake-%[1]s
`, clusterID, quoted), nil
}
