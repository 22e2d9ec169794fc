package scwfake

import (
	"net/http"
	"slices"
)

// The statuses of gateways and gateway networks.
const (
	gatewayAllocating  = "allocating"
	gatewayConfiguring = "configuring"
	gatewayRunning     = "running"
	gatewayDeleting    = "deleting"

	attachCreated     = "created"
	attachConfiguring = "configuring"
	attachReady       = "ready"
	attachDetaching   = "detaching"
)

type gateway struct {
	base
	kind, ip      string
	bastion, smtp bool
	bastionPort   uint32
}

func (a *API) gatewayRoutes() []route {
	const collection, item = "/vpc-gw/v2/zones/{zone}/gateways", "/vpc-gw/v2/zones/{zone}/gateways/{id}"
	return []route{
		{method: http.MethodGet, pattern: collection, handle: a.listGateways},
		{method: http.MethodPost, pattern: collection, handle: a.createGateway, creates: "gateway"},
		{method: http.MethodGet, pattern: item, handle: a.getGateway},
		{method: http.MethodPatch, pattern: item, handle: a.updateGateway},
		{method: http.MethodPost, pattern: item + "/upgrade", handle: a.upgradeGateway},
		{method: http.MethodDelete, pattern: item, handle: a.deleteGateway},
	}
}

// gatewayBandwidth is in Mbit/s, by type, from the smallest to the largest type.
// Recorded for the smallest one.
func gatewayBandwidth(kind string) (bandwidth, rank int, ok bool) {
	kinds := []string{"VPC-GW-S", "VPC-GW-M", "VPC-GW-L", "VPC-GW-XL"}
	rank = slices.Index(kinds, kind)
	if rank < 0 {
		return 0, 0, false
	}
	return []int{100, 1000, 5000, 10000}[rank], rank, true
}

// gatewayStatus is "configuring" while a network is being attached or detached.
func (a *API) gatewayStatus(g *gateway) string {
	if g.status == gatewayRunning && a.gatewayNetworks.any(func(n *gatewayNetwork) bool {
		return n.gateway == g.id && n.status != attachReady
	}) {
		return gatewayConfiguring
	}
	return g.status
}

func (a *API) networksOf(g *gateway) []*gatewayNetwork {
	return a.gatewayNetworks.where(func(n *gatewayNetwork) bool { return n.gateway == g.id })
}

func (a *API) viewGateway(g *gateway) object {
	view := a.common(&g.base)
	bandwidth, _, _ := gatewayBandwidth(g.kind)
	view["zone"] = g.place
	view["type"] = g.kind
	view["status"] = a.gatewayStatus(g)
	view["bandwidth"] = bandwidth
	view["bastion_enabled"] = g.bastion
	view["bastion_port"] = g.bastionPort
	view["bastion_allowed_ips"] = []string{"0.0.0.0/0"}
	view["smtp_enabled"] = g.smtp
	view["is_legacy"] = false
	view["gateway_networks"] = views(a.networksOf(g), a.viewGatewayNetwork)
	view["ipv4"] = nil
	if ip, err := a.gatewayIPs.find(g.place, g.ip); err == nil {
		view["ipv4"] = a.viewGatewayIP(ip)
	}
	if g.status != gatewayAllocating {
		view["version"] = "0.7.8"
	}
	return view
}

func (a *API) listGateways(c *call) (any, error) {
	keep := func(g *gateway) bool {
		networks := a.networksOf(g)
		return matches(c.query, &g.base) && hasAnyTag(c.query, &g.base) && is(c.query, "types", g.kind) &&
			is(c.query, "status", a.gatewayStatus(g)) &&
			(c.query.Get("private_network_ids") == "" || slices.ContainsFunc(networks, func(n *gatewayNetwork) bool {
				return is(c.query, "private_network_ids", n.network)
			}))
	}
	for _, g := range a.gateways.where(func(g *gateway) bool { return g.place == c.place() && keep(g) }) {
		observe(a, a.networksOf(g)...)
	}
	return list(c, &a.gateways, "gateways", keep, a.viewGateway), nil
}

func (a *API) createGateway(c *call) (any, error) {
	var in struct {
		ProjectID   string   `json:"project_id"`
		Name        string   `json:"name"`
		Tags        []string `json:"tags"`
		Type        string   `json:"type"`
		IP          string   `json:"ip_id"`
		SMTP        bool     `json:"enable_smtp"`
		Bastion     bool     `json:"enable_bastion"`
		BastionPort uint32   `json:"bastion_port"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if _, _, ok := gatewayBandwidth(in.Type); !ok {
		return nil, invalidArgument("type", "constraint", "unknown gateway type "+in.Type)
	}
	if in.BastionPort == 0 {
		in.BastionPort = 61000
	}
	g := &gateway{
		base: c.newBase(in.Name, in.ProjectID, in.Tags, gatewayAllocating),
		kind: in.Type, bastion: in.Bastion, smtp: in.SMTP, bastionPort: in.BastionPort,
	}
	ip, err := a.gatewayIPFor(c, in.IP, in.ProjectID)
	if err != nil {
		return nil, err
	}
	ip.gateway, g.ip = g.id, ip.id
	a.gateways.add(g)
	a.schedule(g, hold(), step{after: a.duration(GatewayRunning), do: func() { a.set(&g.base, gatewayRunning) }})
	return a.viewGateway(g), nil
}

func (a *API) getGateway(c *call) (any, error) {
	g, err := get(c, &a.gateways, "id")
	if err != nil {
		return nil, err
	}
	observe(a, a.networksOf(g)...)
	return a.viewGateway(g), nil
}

func (a *API) updateGateway(c *call) (any, error) {
	g, err := a.gateways.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	var in struct {
		SMTP        *bool   `json:"enable_smtp"`
		Bastion     *bool   `json:"enable_bastion"`
		BastionPort *uint32 `json:"bastion_port"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.SMTP != nil {
		g.smtp = *in.SMTP
	}
	if in.Bastion != nil {
		g.bastion = *in.Bastion
	}
	if in.BastionPort != nil {
		g.bastionPort = *in.BastionPort
	}
	if err := c.rename(&g.base); err != nil {
		return nil, err
	}
	return a.viewGateway(g), nil
}

// upgradeGateway changes to a larger type, with the transient status "configuring".
// Reconstructed.
func (a *API) upgradeGateway(c *call) (any, error) {
	g, err := a.steadyGateway(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	in := struct {
		Type string `json:"type"`
	}{g.kind}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	_, before, _ := gatewayBandwidth(g.kind)
	_, after, ok := gatewayBandwidth(in.Type)
	if !ok || after < before {
		return nil, invalidArgument("type", "constraint", "cannot upgrade from "+g.kind+" to "+in.Type)
	}
	g.kind = in.Type
	a.set(&g.base, gatewayConfiguring)
	a.schedule(g, hold(), step{after: a.duration(GatewayRunning), do: func() { a.set(&g.base, gatewayRunning) }})
	return a.viewGateway(g), nil
}

// steadyGateway returns a gateway that can be changed now.
func (a *API) steadyGateway(zone, id string) (*gateway, error) {
	g, err := a.gateways.find(zone, id)
	if err != nil {
		return nil, err
	}
	if status := a.gatewayStatus(g); status != gatewayRunning {
		observe(a, g)
		observe(a, a.networksOf(g)...)
		return nil, transientState("gateway", g.id, status)
	}
	return g, nil
}

func (a *API) deleteGateway(c *call) (any, error) {
	g, err := a.gateways.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if networks := a.networksOf(g); len(networks) > 0 {
		observe(a, networks...)
		return nil, stillInUse("Gateway must be detached from all Private Networks to be deleted")
	}
	withIP := c.query.Get("delete_ip") == "true"
	a.set(&g.base, gatewayDeleting)
	view := a.viewGateway(g)
	a.schedule(g, step{after: a.duration(GatewayGone), do: func() { a.removeGateway(g, withIP) }})
	return view, nil
}

// removeGateway keeps the address, unless the request also deletes it.
func (a *API) removeGateway(g *gateway, withIP bool) {
	if ip, err := a.gatewayIPs.find(g.place, g.ip); err == nil {
		ip.gateway = ""
		if withIP {
			a.gatewayIPs.remove(ip)
		}
	}
	a.gateways.remove(g)
}
