package scwfake

import (
	"fmt"
	"net/http"
	"strings"
)

// gatewayNetwork attaches a Public Gateway to a Private Network.
type gatewayNetwork struct {
	base
	gateway, network string
	mac              string
	masquerade, push bool
}

func (a *API) gatewayNetworkRoutes() []route {
	const collection, item = "/vpc-gw/v2/zones/{zone}/gateway-networks", "/vpc-gw/v2/zones/{zone}/gateway-networks/{id}"
	return []route{
		{method: http.MethodGet, pattern: collection, handle: a.listGatewayNetworks},
		{method: http.MethodPost, pattern: collection, handle: a.createGatewayNetwork, creates: "gateway_network"},
		{method: http.MethodGet, pattern: item, handle: a.getGatewayNetwork},
		{method: http.MethodPatch, pattern: item, handle: a.updateGatewayNetwork},
		{method: http.MethodDelete, pattern: item, handle: a.deleteGatewayNetwork},
	}
}

func (a *API) viewGatewayNetwork(n *gatewayNetwork) object {
	view := object{
		"id": n.id, "gateway_id": n.gateway, "private_network_id": n.network, "status": n.status, "zone": n.place,
		"masquerade_enabled": n.masquerade, "push_default_route": n.push, "ipam_ip_id": "",
		"created_at": stamp(n.created), "updated_at": stamp(n.updated),
	}
	for _, ip := range a.ipsOf(n.id) {
		view["ipam_ip_id"] = ip.id
	}
	if n.mac != "" {
		view["mac_address"] = strings.ToUpper(n.mac)
	}
	return view
}

func (a *API) listGatewayNetworks(c *call) (any, error) {
	return list(c, &a.gatewayNetworks, "gateway_networks", func(n *gatewayNetwork) bool {
		return is(c.query, "status", n.status) && is(c.query, "gateway_ids", n.gateway) &&
			is(c.query, "private_network_ids", n.network) && isBool(c.query, "masquerade_enabled", n.masquerade)
	}, a.viewGatewayNetwork), nil
}

func (a *API) createGatewayNetwork(c *call) (any, error) {
	var in struct {
		Gateway    string `json:"gateway_id"`
		Network    string `json:"private_network_id"`
		Masquerade bool   `json:"enable_masquerade"`
		Push       bool   `json:"push_default_route"`
		IP         string `json:"ipam_ip_id"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	network, err := a.privateNetworks.find(regionOf(c.place()), in.Network)
	if err != nil {
		return nil, err
	}
	g, err := a.steadyGateway(c.place(), in.Gateway)
	if err != nil {
		return nil, err
	}
	var ip *ipamIP
	if in.IP != "" {
		ip, err = a.freeIP(network, in.IP, "ipam_ip_id")
	} else {
		ip, err = a.takeAnyIP(network, false)
	}
	if err != nil {
		return nil, err
	}
	n := &gatewayNetwork{
		base:    c.newBase("", g.project, nil, attachCreated),
		gateway: g.id, network: network.id, masquerade: in.Masquerade, push: in.Push,
	}
	a.gatewayNetworks.add(n)
	a.attachIP(ip, holder{kind: "vpc_gateway_network", id: n.id, name: g.name})
	a.schedule(n, hold(), step{after: a.duration(GatewayNetworkReady) / 10, do: func() {
		n.mac = a.newMAC()
		for _, ip := range a.ipsOf(n.id) {
			a.attachIP(ip, holder{kind: "vpc_gateway_network", id: n.id, name: g.name, mac: n.mac})
		}
		a.set(&n.base, attachConfiguring)
	}}, a.becomeReady(n))
	return a.viewGatewayNetwork(n), nil
}

func (a *API) becomeReady(n *gatewayNetwork) step {
	return step{after: a.duration(GatewayNetworkReady), do: func() { a.set(&n.base, attachReady) }}
}

// newMAC returns a random MAC address in lower case.
func (a *API) newMAC() string {
	a.macs++
	digits := fmt.Sprintf("%06x", a.macs)
	return "02:00:00:" + digits[0:2] + ":" + digits[2:4] + ":" + digits[4:6]
}

func (a *API) getGatewayNetwork(c *call) (any, error) {
	n, err := get(c, &a.gatewayNetworks, "id")
	if err != nil {
		return nil, err
	}
	return a.viewGatewayNetwork(n), nil
}

// steadyNetwork returns a gateway network that can be changed now.
func (a *API) steadyNetwork(c *call) (*gatewayNetwork, error) {
	n, err := a.gatewayNetworks.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if status := n.status; status != attachReady {
		observe(a, n)
		return nil, transientState("gateway_network", n.id, status)
	}
	return n, nil
}

func (a *API) updateGatewayNetwork(c *call) (any, error) {
	n, err := a.steadyNetwork(c)
	if err != nil {
		return nil, err
	}
	var in struct {
		Masquerade *bool   `json:"enable_masquerade"`
		Push       *bool   `json:"push_default_route"`
		IP         *string `json:"ipam_ip_id"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.IP != nil {
		if err := a.moveGatewayNetwork(n, *in.IP); err != nil {
			return nil, err
		}
	}
	if in.Masquerade != nil {
		n.masquerade = *in.Masquerade
	}
	if in.Push != nil {
		n.push = *in.Push
	}
	a.set(&n.base, attachConfiguring)
	a.schedule(n, hold(), a.becomeReady(n))
	return a.viewGatewayNetwork(n), nil
}

// moveGatewayNetwork assigns another booked address.
func (a *API) moveGatewayNetwork(n *gatewayNetwork, id string) error {
	network, err := a.privateNetworks.find(regionOf(n.place), n.network)
	if err != nil {
		return err
	}
	before := a.ipsOf(n.id)
	if len(before) == 1 && before[0].id == id {
		return nil
	}
	ip, err := a.freeIP(network, id, "ipam_ip_id")
	if err != nil {
		return err
	}
	for _, old := range before {
		a.attachIP(ip, *old.holder)
		a.detachIP(old)
	}
	return nil
}

// deleteGatewayNetwork also deletes a network that is still being attached.
func (a *API) deleteGatewayNetwork(c *call) (any, error) {
	n, err := a.gatewayNetworks.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if n.status == attachDetaching {
		observe(a, n)
		return nil, transientState("gateway_network", n.id, attachDetaching)
	}
	a.set(&n.base, attachDetaching)
	a.schedule(n, hold(), step{after: a.duration(GatewayNetworkGone), do: func() {
		for _, ip := range a.ipsOf(n.id) {
			a.detachIP(ip)
		}
		a.gatewayNetworks.remove(n)
	}})
	return a.viewGatewayNetwork(n), nil
}
