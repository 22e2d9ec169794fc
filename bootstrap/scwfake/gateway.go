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
	gatewayFailed      = "failed"
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
	const zone = "/vpc-gw/v2/zones/{zone}"
	const collection, item = zone + "/gateways", zone + "/gateways/{id}"
	return []route{
		{method: http.MethodGet, pattern: zone + "/gateway-types", handle: a.listGatewayTypes},
		{method: http.MethodGet, pattern: collection, handle: a.listGateways},
		{method: http.MethodPost, pattern: collection, handle: a.createGateway, creates: "gateway"},
		{method: http.MethodGet, pattern: item, handle: a.getGateway},
		{method: http.MethodPatch, pattern: item, handle: a.updateGateway},
		{method: http.MethodPost, pattern: item + "/upgrade", handle: a.upgradeGateway},
		{method: http.MethodDelete, pattern: item, handle: a.deleteGateway},
	}
}

// gatewayType is a commercial type of gateways. The bandwidth is in Mbit/s.
type gatewayType struct {
	name      string
	bandwidth int
}

// gatewayTypes returns the types, from the smallest to the largest one. The bandwidth
// of the smallest one is recorded.
func gatewayTypes() []gatewayType {
	return []gatewayType{{"VPC-GW-S", 100}, {"VPC-GW-M", 1000}, {"VPC-GW-L", 5000}, {"VPC-GW-XL", 10000}}
}

// gatewayBandwidth is in Mbit/s.
func gatewayBandwidth(kind string) (bandwidth int, ok bool) {
	types := gatewayTypes()
	i := slices.IndexFunc(types, func(t gatewayType) bool { return t.name == kind })
	if i < 0 {
		return 0, false
	}
	return types[i].bandwidth, true
}

// listGatewayTypes is reconstructed from the SDK. Unlike gateways, types have their
// bandwidth in bit/s.
func (a *API) listGatewayTypes(c *call) (any, error) {
	types := []object{}
	for _, t := range gatewayTypes() {
		types = append(types, object{"name": t.name, "bandwidth": t.bandwidth * 1_000_000, "zone": c.place()})
	}
	return object{"types": types}, nil
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
	bandwidth, _ := gatewayBandwidth(g.kind)
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
	if _, ok := gatewayBandwidth(in.Type); !ok {
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

// upgradeGateway changes to a larger type. As recorded, the answer has the status
// "running", and the next statuses are "failed" (for 0.3 s), "configuring" and
// "running" (after 5 s). The refusal is reconstructed.
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
	before, _ := gatewayBandwidth(g.kind)
	after, ok := gatewayBandwidth(in.Type)
	if !ok || after < before {
		return nil, invalidArgument("type", "constraint", "cannot upgrade from "+g.kind+" to "+in.Type)
	}
	g.kind = in.Type
	g.updated = a.now()
	view := a.viewGateway(g)
	a.schedule(g,
		step{do: func() { a.set(&g.base, gatewayFailed) }},
		step{after: a.duration(GatewayUpgradeFails), do: func() { a.set(&g.base, gatewayConfiguring) }},
		step{after: a.duration(GatewayUpgraded), do: func() { a.set(&g.base, gatewayRunning) }})
	return view, nil
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
