package scwfake

import (
	"cmp"
	"net/http"
	"strconv"
)

// nic is a network card of a server on a Private Network. Two APIs serve it:
// instance/v1 as a part of its server, and instance/v2alpha1 by itself.
type nic struct {
	base
	network, server, mac string
}

// The states of NICs.
const (
	nicAttaching = "attaching"
	nicAvailable = "available"
	nicDetaching = "detaching"
)

func (a *API) nicRoutes() []route {
	const v1 = "/instance/v1/zones/{zone}/servers/{server}/private_nics"
	const v2 = "/instance/v2alpha1/zones/{zone}/private-network-interfaces"
	return []route{
		{method: http.MethodGet, pattern: v1, handle: a.listNICsV1},
		{
			method: http.MethodPost, pattern: v1, handle: a.createNICv1, status: http.StatusCreated,
			creates: "instance_private_nic",
		},
		{method: http.MethodGet, pattern: v1 + "/{id}", handle: a.getNICv1},
		{method: http.MethodDelete, pattern: v1 + "/{id}", handle: a.deleteNIC, status: http.StatusNoContent},

		{method: http.MethodGet, pattern: v2, handle: a.listNICsV2},
		{method: http.MethodPost, pattern: v2, handle: a.createNICv2, creates: "private_network_interface"},
		{method: http.MethodGet, pattern: v2 + "/{id}", handle: a.getNICv2},
		{method: http.MethodPatch, pattern: v2 + "/{id}", handle: a.updateNIC},
		{method: http.MethodDelete, pattern: v2 + "/{id}", handle: a.deleteFreeNIC, status: http.StatusNoContent},
		{method: http.MethodPost, pattern: "/instance/v2alpha1/zones/{zone}/servers/{server}/detach-private-network-interface", handle: a.detachNIC},
	}
}

func (a *API) ipIDs(n *nic) []string {
	ids := []string{}
	for _, ip := range a.ipsOf(n.id) {
		ids = append(ids, ip.id)
	}
	return ids
}

func (a *API) viewNICv1(n *nic) object {
	return object{
		"id": n.id, "private_network_id": n.network, "server_id": n.server, "mac_address": n.mac, "state": n.status,
		"creation_date": instanceStamp(n.created), "modification_date": instanceStamp(n.updated),
		"zone": n.place, "tags": n.tags, "ipam_ip_ids": a.ipIDs(n),
	}
}

func (a *API) viewNICv2(n *nic) object {
	return object{
		"id": n.id, "private_network_id": n.network, "project_id": n.project, "server_id": n.server,
		"security_group_id": "", "mac_address": n.mac, "status": n.status, "ip_ids": a.ipIDs(n), "tags": n.tags,
		"created_at": stamp(n.created), "updated_at": stamp(n.updated),
	}
}

func (a *API) nicsOf(s *server) []*nic {
	return a.nics.where(func(n *nic) bool { return n.server == s.id })
}

func (a *API) listNICsV1(c *call) (any, error) {
	s, err := a.servers.find(c.place(), c.values["server"])
	if err != nil {
		return nil, err
	}
	return instanceList(c, &a.nics, "private_nics", func(n *nic) bool {
		return n.server == s.id && hasAllTags(c.query, &n.base)
	}, a.viewNICv1), nil
}

func (a *API) createNICv1(c *call) (any, error) {
	var in struct {
		Network string   `json:"private_network_id"`
		Tags    []string `json:"tags"`
		IPs     []string `json:"ipam_ip_ids"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	s, err := a.servers.find(c.place(), c.values["server"])
	if err != nil {
		return nil, err
	}
	n, err := a.newNIC(s, in.Network, in.Tags, in.IPs)
	if err != nil {
		return nil, err
	}
	return object{"private_nic": a.viewNICv1(n)}, nil
}

// newNIC adds a card to a server: with the booked addresses, or with one address of
// each family that is released together with the card.
func (a *API) newNIC(s *server, networkID string, tags, ips []string) (*nic, error) {
	network, err := a.privateNetworks.find(regionOf(s.place), networkID)
	if err != nil {
		return nil, err
	}
	n := &nic{
		base:    a.newBase(s.place, "", s.project, tags, nicAvailable),
		network: network.id, server: s.id, mac: a.newMAC(),
	}
	addresses, err := a.nicIPs(network, ips)
	if err != nil {
		return nil, err
	}
	for _, ip := range addresses {
		a.attachIP(ip, holder{kind: "instance_private_nic", id: n.id, name: s.name, mac: n.mac})
	}
	a.nics.add(n)
	if s.status != serverStopped {
		n.status = nicAttaching
		a.schedule(n, hold(), step{after: a.duration(NICOnRunningServer), do: func() {
			a.set(&n.base, nicAvailable)
			a.changed(s)
		}})
	}
	return n, nil
}

func (a *API) nicIPs(network *privateNetwork, ids []string) ([]*ipamIP, error) {
	var ips []*ipamIP
	for _, id := range ids {
		ip, err := a.freeIP(network, id, "ip_ids")
		if err != nil {
			return nil, err
		}
		ips = append(ips, ip)
	}
	if len(ids) > 0 {
		return ips, nil
	}
	for _, v6 := range []bool{false, true} {
		ip, err := a.takeAnyIP(network, v6)
		if err != nil {
			return nil, err
		}
		ips = append(ips, ip)
	}
	return ips, nil
}

func (a *API) getNICv1(c *call) (any, error) {
	n, err := get(c, &a.nics, "id")
	if err != nil {
		return nil, err
	}
	return object{"private_nic": a.viewNICv1(n)}, nil
}

// listNICsV2 uses tokens for pages. The token is the number of the next page.
func (a *API) listNICsV2(c *call) (any, error) {
	items := selected(c, &a.nics, func(n *nic) bool {
		return is(c.query, "project_id", n.project) && is(c.query, "server_ids", n.server) &&
			is(c.query, "private_network_ids", n.network) && hasAnyTag(c.query, &n.base)
	})
	c.query.Set("page", cmp.Or(c.query.Get("page_token"), "1"))
	part, number, size := page(c.query, items, "page_size", defaultPageSize)
	var next any
	if number*size < len(items) {
		next = strconv.Itoa(number + 1)
	}
	return object{
		"private_network_interfaces": views(part, a.viewNICv2), "next_page_token": next, "total_count": len(items),
	}, nil
}

func (a *API) createNICv2(c *call) (any, error) {
	var in struct {
		Network string   `json:"private_network_id"`
		Server  string   `json:"server_id"`
		IPs     []string `json:"ip_ids"`
		Tags    []string `json:"tags"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.Server == "" {
		return nil, invalidArgument("server_id", "required", "scwfake: a NIC without a server is not served")
	}
	s, err := a.servers.find(c.place(), in.Server)
	if err != nil {
		return nil, err
	}
	n, err := a.newNIC(s, in.Network, in.Tags, in.IPs)
	if err != nil {
		return nil, err
	}
	return a.viewNICv2(n), nil
}

func (a *API) getNICv2(c *call) (any, error) {
	n, err := get(c, &a.nics, "id")
	if err != nil {
		return nil, err
	}
	return a.viewNICv2(n), nil
}

func (a *API) updateNIC(c *call) (any, error) {
	n, err := a.nics.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if err := c.rename(&n.base); err != nil {
		return nil, err
	}
	return a.viewNICv2(n), nil
}
