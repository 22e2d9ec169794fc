package scwfake

import (
	"fmt"
	"net/http"
	"net/netip"
)

// gatewayIP is a public address of the Public Gateway product.
type gatewayIP struct {
	base
	address netip.Addr
	gateway string
}

func (a *API) gatewayIPRoutes() []route {
	const collection, item = "/vpc-gw/v2/zones/{zone}/ips", "/vpc-gw/v2/zones/{zone}/ips/{id}"
	return []route{
		{method: http.MethodGet, pattern: collection, handle: a.listGatewayIPs},
		{method: http.MethodPost, pattern: collection, handle: a.createGatewayIP, creates: "ip", latency: PostGatewayIP},
		{method: http.MethodGet, pattern: item, handle: a.getGatewayIP},
		{method: http.MethodPatch, pattern: item, handle: a.updateGatewayIP},
		{method: http.MethodDelete, pattern: item, handle: a.deleteGatewayIP, status: http.StatusNoContent},
	}
}

func (a *API) viewGatewayIP(ip *gatewayIP) object {
	view := a.common(&ip.base)
	delete(view, "name")
	four := ip.address.As4()
	view["address"] = ip.address
	view["reverse"] = fmt.Sprintf("%d-%d-%d-%d.instances.scw.cloud", four[3], four[2], four[1], four[0])
	view["zone"] = ip.place
	if ip.gateway != "" {
		view["gateway_id"] = ip.gateway
	}
	return view
}

func (a *API) listGatewayIPs(c *call) (any, error) {
	return list(c, &a.gatewayIPs, "ips", func(ip *gatewayIP) bool {
		return matches(c.query, &ip.base) && hasAnyTag(c.query, &ip.base) && isBool(c.query, "is_free", ip.gateway == "")
	}, a.viewGatewayIP), nil
}

func (a *API) createGatewayIP(c *call) (any, error) {
	var in struct {
		ProjectID string   `json:"project_id"`
		Tags      []string `json:"tags"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	ip, err := a.newGatewayIP(c, in.ProjectID, in.Tags)
	if err != nil {
		return nil, err
	}
	return a.viewGatewayIP(ip), nil
}

func (a *API) newGatewayIP(c *call, project string, tags []string) (*gatewayIP, error) {
	address, ok := a.gatewayPool.next(func(address netip.Addr) bool {
		return a.gatewayIPs.any(func(ip *gatewayIP) bool { return ip.address == address })
	})
	if !ok {
		return nil, quotasExceeded("ip")
	}
	ip := &gatewayIP{base: c.newBase("", project, tags, ""), address: address}
	a.gatewayIPs.add(ip)
	return ip, nil
}

// gatewayIPFor returns the address that a new gateway names, or a new address.
func (a *API) gatewayIPFor(c *call, id, project string) (*gatewayIP, error) {
	if id == "" {
		return a.newGatewayIP(c, project, nil)
	}
	ip, err := a.gatewayIPs.find(c.place(), id)
	if err != nil {
		return nil, err
	}
	if ip.gateway != "" {
		return nil, stillInUse("IP is already attached to a gateway")
	}
	return ip, nil
}

func (a *API) getGatewayIP(c *call) (any, error) {
	ip, err := get(c, &a.gatewayIPs, "id")
	if err != nil {
		return nil, err
	}
	return a.viewGatewayIP(ip), nil
}

func (a *API) updateGatewayIP(c *call) (any, error) {
	ip, err := a.gatewayIPs.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if err := c.rename(&ip.base); err != nil {
		return nil, err
	}
	return a.viewGatewayIP(ip), nil
}

func (a *API) deleteGatewayIP(c *call) (any, error) {
	ip, err := a.gatewayIPs.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if ip.gateway != "" {
		return nil, stillInUse("IP must be detached to be deleted")
	}
	a.gatewayIPs.remove(ip)
	return nil, nil
}

// addressPool assigns public IPv4 addresses.
type addressPool struct {
	// prefix begins with the first address to assign.
	prefix netip.Prefix
	last   netip.Addr
}

// next returns the next address after the last assigned one that is not in use. A
// released address is assigned again only after all others of the prefix.
func (p *addressPool) next(held func(netip.Addr) bool) (netip.Addr, bool) {
	candidate := p.prefix.Addr()
	if p.last.IsValid() {
		candidate = p.last.Next()
	}
	for range 1 << min(16, 32-p.prefix.Bits()) {
		if !p.prefix.Contains(candidate) {
			candidate = p.prefix.Masked().Addr()
		}
		if !held(candidate) {
			p.last = candidate
			return candidate, true
		}
		candidate = candidate.Next()
	}
	return netip.Addr{}, false
}
