package scwfake

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// ipamIP is an address of a Private Network that is in use: booked by a client, or
// assigned to a resource that was attached without a booked address.
type ipamIP struct {
	base
	// address has the prefix length of the subnet.
	address         netip.Prefix
	network, subnet string
	// booked addresses outlive their resource.
	booked bool
	// holder is the resource that the address is attached to, or nil.
	holder *holder
}

// holder is IPAM's view of a resource.
type holder struct{ kind, id, name, mac string }

func (a *API) ipamRoutes() []route {
	const collection, item = "/ipam/v1/regions/{region}/ips", "/ipam/v1/regions/{region}/ips/{id}"
	return []route{
		{method: http.MethodGet, pattern: collection, handle: a.listIPAMIPs},
		{method: http.MethodPost, pattern: collection, handle: a.bookIP, creates: "ip", latency: PostIPAMIP},
		{method: http.MethodGet, pattern: item, handle: a.getIPAMIP},
		{method: http.MethodPatch, pattern: item, handle: a.updateIPAMIP},
		{method: http.MethodDelete, pattern: item, handle: a.releaseIP, status: http.StatusNoContent},
	}
}

func (a *API) viewIPAMIP(ip *ipamIP) object {
	view := a.common(&ip.base)
	delete(view, "name")
	delete(view, "organization_id")
	view["address"] = ip.address
	view["is_ipv6"] = ip.address.Addr().Is6()
	view["source"] = object{"subnet_id": ip.subnet}
	view["reverses"] = []object{}
	view["region"] = ip.place
	view["zone"] = nil
	view["resource"] = nil
	if ip.holder != nil {
		view["resource"] = object{
			// IPAM writes MACs in upper case, unlike the products.
			"type": ip.holder.kind, "id": ip.holder.id, "mac_address": orNull(strings.ToUpper(ip.holder.mac)),
			"name": ip.holder.name,
		}
	}
	return view
}

func (a *API) listIPAMIPs(c *call) (any, error) {
	if zone := c.query.Get("zonal"); zone != "" {
		return a.listZonalIPs(c, zone), nil
	}
	return list(c, &a.ipamIPs, "ips", func(ip *ipamIP) bool {
		var resource holder
		if ip.holder != nil {
			resource = *ip.holder
		}
		network, err := a.privateNetworks.find(ip.place, ip.network)
		return err == nil && matches(c.query, &ip.base) && hasAnyTag(c.query, &ip.base) &&
			is(c.query, "private_network_id", ip.network) && is(c.query, "subnet_id", ip.subnet) &&
			is(c.query, "vpc_id", network.vpc) && is(c.query, "ip_ids", ip.id) &&
			is(c.query, "resource_id", resource.id) && is(c.query, "resource_ids", resource.id) &&
			hasKind(c, "resource_type", resource.kind) && hasKind(c, "resource_types", resource.kind) &&
			strings.Contains(resource.name, c.query.Get("resource_name")) &&
			strings.Contains(strings.ToUpper(resource.mac), strings.ToUpper(c.query.Get("mac_address"))) &&
			isBool(c.query, "is_ipv6", ip.address.Addr().Is6()) && isBool(c.query, "attached", ip.holder != nil)
	}, a.viewIPAMIP), nil
}

// listZonalIPs lists the flexible IPs of a zone in IPAM's view: with the ID that the
// Instance API calls ipam_id, and with their age, which the Instance API does not
// report. Reconstructed from the SDK: no recording contains it.
func (a *API) listZonalIPs(c *call, zone string) object {
	items := a.addresses.where(func(ip *address) bool {
		return ip.place == zone && matches(c.query, &ip.base) && hasAnyTag(c.query, &ip.base) && is(c.query, "ip_ids", ip.id)
	})
	sortBy(items, c.query.Get("order_by"))
	part, _, _ := page(c.query, items, "page_size", defaultPageSize)
	return object{"ips": views(part, a.viewZonalIP), "total_count": len(items)}
}

func (a *API) viewZonalIP(ip *address) object {
	view := a.common(&ip.base)
	delete(view, "name")
	delete(view, "organization_id")
	view["address"] = netip.PrefixFrom(ip.addr, ip.addr.BitLen())
	view["is_ipv6"] = ip.addr.Is6()
	view["source"] = object{"zonal": ip.place}
	view["reverses"] = []object{}
	view["zone"], view["region"], view["resource"] = ip.place, ip.place[:strings.LastIndexByte(ip.place, '-')], nil
	if s, err := a.servers.find(ip.place, ip.server); err == nil {
		view["resource"] = object{"type": "instance_server", "id": s.id, "mac_address": nil, "name": s.name}
	}
	return view
}

// hasKind filters by resource type. The SDK sends "unknown_type" for any type.
func hasKind(c *call, key, kind string) bool {
	return c.query.Get(key) == "unknown_type" || is(c.query, key, kind)
}

func (a *API) bookIP(c *call) (any, error) {
	var in struct {
		ProjectID string `json:"project_id"`
		Source    struct {
			Network string `json:"private_network_id"`
			Subnet  string `json:"subnet_id"`
		} `json:"source"`
		V6      bool     `json:"is_ipv6"`
		Address string   `json:"address"`
		Tags    []string `json:"tags"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	network, wanted, err := a.sourceOf(c, in.Source.Network, in.Source.Subnet, in.V6)
	if err != nil {
		return nil, err
	}
	address := netip.Addr{}
	if in.Address != "" {
		if address, err = netip.ParseAddr(in.Address); err != nil {
			return nil, invalidArgument("address", "format", err.Error())
		}
	}
	ip, err := a.takeIP(network, wanted, address)
	if err != nil {
		return nil, err
	}
	ip.booked = true
	ip.tags = listOf(in.Tags)
	if in.ProjectID != "" {
		ip.project = in.ProjectID
	}
	return a.viewIPAMIP(ip), nil
}

// sourceOf returns the network and the subnet that a booking names.
func (a *API) sourceOf(c *call, network, wanted string, v6 bool) (*privateNetwork, subnet, error) {
	if network == "" && wanted == "" {
		return nil, subnet{}, invalidArgument("source", "required", "private_network_id or subnet_id must be set")
	}
	for _, n := range a.privateNetworks.items {
		if n.place != c.place() || (network != "" && n.id != network) {
			continue
		}
		for _, s := range n.subnets {
			if s.id == wanted || (wanted == "" && s.prefix.Addr().Is6() == v6) {
				return n, s, nil
			}
		}
	}
	if network != "" {
		return nil, subnet{}, notFound("private_network", network)
	}
	return nil, subnet{}, notFound("subnet", wanted)
}

// assigns reports whether IPAM assigns an address: neither the first two nor the last
// two addresses of a subnet, which are reserved.
func (s subnet) assigns(address netip.Addr) bool {
	first := s.prefix.Addr()
	return s.prefix.Contains(address) && address != first && address != first.Next() &&
		s.prefix.Contains(address.Next()) && s.prefix.Contains(address.Next().Next())
}

// takeIP takes an address of the subnet: the wanted one, or the first free one if
// the wanted one is the zero value.
func (a *API) takeIP(network *privateNetwork, s subnet, address netip.Addr) (*ipamIP, error) {
	taken := func(address netip.Addr) bool {
		return a.ipamIPs.any(func(ip *ipamIP) bool { return ip.network == network.id && ip.address.Addr() == address })
	}
	switch {
	case !address.IsValid():
		address = s.prefix.Addr().Next().Next()
		for taken(address) {
			address = address.Next()
		}
		if !s.assigns(address) {
			return nil, quotasExceeded("ip")
		}
	case !s.assigns(address):
		// Reconstructed: the documentation of IPAM has the rule, and not the answer.
		return nil, invalidArgument("address", "constraint", fmt.Sprintf("%s is not in %s, or reserved", address, s.prefix))
	case taken(address):
		// Reconstructed: no recording contains it.
		return nil, &apiError{http.StatusConflict, object{
			"type": "conflict", "message": fmt.Sprintf("IP %s is already in use in this Private Network", address),
		}}
	}
	ip := &ipamIP{
		base:    a.newBase(network.place, "", network.project, nil, ""),
		address: netip.PrefixFrom(address, s.prefix.Bits()), network: network.id, subnet: s.id,
	}
	a.ipamIPs.add(ip)
	return ip, nil
}

// takeAnyIP takes the first free address of the family.
func (a *API) takeAnyIP(network *privateNetwork, v6 bool) (*ipamIP, error) {
	for _, s := range network.subnets {
		if s.prefix.Addr().Is6() == v6 {
			return a.takeIP(network, s, netip.Addr{})
		}
	}
	return nil, invalidArgument("private_network_id", "constraint", "the Private Network has no such subnet")
}

// freeIP returns a booked address that is about to be attached.
func (a *API) freeIP(network *privateNetwork, id, argument string) (*ipamIP, error) {
	ip, err := a.ipamIPs.find(network.place, id)
	switch {
	case err != nil:
		return nil, err
	case ip.network != network.id:
		return nil, invalidArgument(argument, "constraint", "the IP is not of this Private Network")
	case ip.holder != nil:
		return nil, invalidArgument(argument, "constraint", "the IP is already attached")
	default:
		return ip, nil
	}
}

func (a *API) attachIP(ip *ipamIP, to holder) {
	ip.holder, ip.updated = &to, a.now()
}

// ipsOf returns the addresses of a resource.
func (a *API) ipsOf(id string) []*ipamIP {
	return a.ipamIPs.where(func(ip *ipamIP) bool { return ip.holder != nil && ip.holder.id == id })
}

// detachIP frees an address. A booked address stays booked.
func (a *API) detachIP(ip *ipamIP) {
	if !ip.booked {
		a.ipamIPs.remove(ip)
		return
	}
	ip.holder, ip.updated = nil, a.now()
}

func (a *API) getIPAMIP(c *call) (any, error) {
	ip, err := get(c, &a.ipamIPs, "id")
	if err != nil {
		return nil, err
	}
	return a.viewIPAMIP(ip), nil
}

func (a *API) updateIPAMIP(c *call) (any, error) {
	ip, err := a.ipamIPs.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if err := c.rename(&ip.base); err != nil {
		return nil, err
	}
	return a.viewIPAMIP(ip), nil
}

func (a *API) releaseIP(c *call) (any, error) {
	ip, err := a.ipamIPs.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if ip.holder != nil {
		return nil, stillInUse("IP must be detached to be released")
	}
	a.ipamIPs.remove(ip)
	return nil, nil
}
