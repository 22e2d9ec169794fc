package scwfake

import (
	"fmt"
	"strings"
)

// node is a node of a pool. Each node has a server, which the Instance API serves
// like any other, with its volume and its NIC.
type node struct {
	base
	cluster, pool, server, zone string
	// problem is the node's error message.
	problem string
}

// The statuses of nodes.
const (
	nodeCreating = "creating"
	nodeReady    = "ready"

	nodeCreationError = "creation_error"
)

func (a *API) nodesOf(p *pool) []*node {
	return a.nodes.where(func(n *node) bool { return n.pool == p.id })
}

// scaleNodes adds and removes nodes until the pool has its size.
func (a *API) scaleNodes(p *pool) {
	k, err := a.clusters.find(p.place, p.cluster)
	if err != nil {
		return
	}
	nodes := a.nodesOf(p)
	for len(nodes) > p.size {
		a.removeNode(nodes[len(nodes)-1])
		nodes = nodes[:len(nodes)-1]
	}
	for range p.size - len(nodes) {
		n := &node{
			base: a.newBase(k.place, "", k.project, nil, nodeCreating), cluster: k.id, pool: p.id, zone: p.zone,
		}
		n.name = nodeName(k, p, n.id)
		n.server = a.newNodeServer(k, p, n).id
		a.nodes.add(n)
	}
}

func (a *API) newNodeServer(k *cluster, p *pool, n *node) *server {
	kind := strings.ReplaceAll(strings.ToUpper(p.kind), "_", "-")
	s := &server{
		base: a.newBase(p.zone, n.name, k.project, []string{
			"kapsule=" + k.id, "pool=" + p.id, "pool-name=" + p.name, "runtime=containerd", "managed=true", "node=" + n.id,
		}, serverRunning),
		kind: kind, mac: "de" + a.newMAC()[2:], group: p.group, node: true,
		userData: map[string][]byte{}, drives: map[string]drive{},
		image: image{
			id: fixedID("node image"), name: "k8s_base_node_instance", zone: p.zone, arch: "x86_64", volume: sbsVolume,
			snapshot: fixedID("node snapshot"),
		},
	}
	root := &volume{
		base: a.newBase(p.zone, fmt.Sprintf("%s_%s_0", s.image.name, sbsVolume), k.project, nil, ""),
		size: p.volumeSize, snapshot: s.image.snapshot,
	}
	s.drives["0"] = drive{id: root.id, kind: sbsVolume, boot: true}
	a.volumes.add(root)
	a.attachVolume(root, s)
	a.servers.add(s)
	// If the network is full, the node has no NIC. A real pool could not scale
	// then; no test depends on that.
	if card, err := a.newNIC(s, k.network, nil, nil); err == nil {
		card.status, card.steps = nicAvailable, nil
	}
	return s
}

// removeNode also removes the server and its volume.
func (a *API) removeNode(n *node) {
	a.nodes.remove(n)
	s, err := a.servers.find(n.zone, n.server)
	if err != nil {
		return
	}
	a.removeServer(s)
	for _, d := range s.drives {
		if v, err := a.volumes.find(s.place, d.id); err == nil {
			a.volumes.remove(v)
		}
	}
}

func (a *API) viewNode(n *node) object {
	ready := "False"
	if n.status == nodeReady {
		ready = "True"
	}
	return object{
		"id": n.id, "cluster_id": n.cluster, "pool_id": n.pool, "region": n.place, "name": n.name, "status": n.status,
		"created_at": stamp(n.created), "updated_at": stamp(n.updated),
		"conditions": map[string]string{
			"DiskPressure": "False", "MemoryPressure": "False", "PIDPressure": "False", "Ready": ready,
		},
		"public_ip_v4": "", "public_ip_v6": nil, "error_message": n.problem,
		"provider_id": fmt.Sprintf("scaleway://instance/%s/%s", n.zone, n.server),
	}
}

func (a *API) listNodes(c *call) (any, error) {
	k, err := a.clusters.find(c.place(), c.values["cluster"])
	if err != nil {
		return nil, err
	}
	// Nodes become ready together with their pool.
	observe(a, a.poolsOf(k)...)
	return list(c, &a.nodes, "nodes", func(n *node) bool {
		return n.cluster == k.id && is(c.query, "pool_id", n.pool) && hasStatus(c, n.status) &&
			strings.Contains(n.name, c.query.Get("name"))
	}, a.viewNode), nil
}

func (a *API) getNode(c *call) (any, error) {
	n, err := get(c, &a.nodes, "id")
	if err != nil {
		return nil, err
	}
	return a.viewNode(n), nil
}
