package scwfake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
)

// address is a flexible IP of an Instance.
type address struct {
	base
	// addr is the address, or the first address of an IPv6 prefix.
	addr   netip.Addr
	prefix netip.Prefix
	kind   string
	server string
}

// The states of flexible IPs.
const (
	addressDetached = "detached"
	addressPending  = "pending"
	addressAttached = "attached"
)

// The types of flexible IPs.
const (
	routedIPv4 = "routed_ipv4"
	routedIPv6 = "routed_ipv6"
)

func (a *API) addressRoutes() []route {
	const collection, item = "/instance/v1/zones/{zone}/ips", "/instance/v1/zones/{zone}/ips/{id}"
	return []route{
		{method: http.MethodGet, pattern: collection, handle: a.listAddresses},
		{
			method: http.MethodPost, pattern: collection, handle: a.createAddress, status: http.StatusCreated,
			creates: "instance_ip", latency: PostFlexibleIP,
		},
		{method: http.MethodGet, pattern: item, handle: a.getAddress},
		{method: http.MethodPatch, pattern: item, handle: a.updateAddress},
		{method: http.MethodDelete, pattern: item, handle: a.deleteAddress, status: http.StatusNoContent},
	}
}

func (a *API) viewAddress(ip *address) object {
	view := a.instanceCommon(&ip.base)
	for _, key := range []string{"name", "creation_date", "modification_date"} {
		delete(view, key)
	}
	view["address"], view["prefix"] = any(ip.addr), any(nil)
	if ip.kind == routedIPv6 {
		view["address"], view["prefix"] = nil, ip.prefix
	}
	view["reverse"] = nil
	view["type"] = ip.kind
	view["ipam_id"] = ip.id
	view["state"], view["server"] = addressDetached, nil
	if s, err := a.servers.find(ip.place, ip.server); err == nil {
		view["state"], view["server"] = ip.status, object{"id": s.id, "name": s.name}
	}
	return view
}

func (a *API) wrapAddress(ip *address) object { return object{"ip": a.viewAddress(ip)} }

func (a *API) listAddresses(c *call) (any, error) {
	return instanceList(c, &a.addresses, "ips", func(ip *address) bool {
		return matches(c.query, &ip.base) && hasAllTags(c.query, &ip.base) && is(c.query, "type", ip.kind)
	}, a.viewAddress), nil
}

func (a *API) createAddress(c *call) (any, error) {
	in := struct {
		Project string   `json:"project"`
		Tags    []string `json:"tags"`
		Type    string   `json:"type"`
		Server  string   `json:"server"`
	}{Type: routedIPv4}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	ip := &address{base: c.newBase("", in.Project, in.Tags, ""), kind: in.Type}
	switch in.Type {
	case routedIPv4:
		held := func(addr netip.Addr) bool {
			return a.addresses.any(func(other *address) bool { return other.addr == addr })
		}
		addr, ok := a.flexiblePool.next(held)
		if !ok {
			return nil, quotasExceeded("instance_ip")
		}
		ip.addr = addr
	case routedIPv6:
		ip.prefix = netip.MustParsePrefix(fmt.Sprintf("2001:db8:%s::/64", newID()[:4])).Masked()
		ip.addr = ip.prefix.Addr().Next()
	default:
		return nil, invalidRequest("type", in.Type+" is not a type of IP")
	}
	if in.Server != "" {
		if err := a.attachAddress(ip, in.Server); err != nil {
			return nil, err
		}
	}
	a.addresses.add(ip)
	return a.wrapAddress(ip), nil
}

func (a *API) getAddress(c *call) (any, error) {
	ip, err := a.findAddress(c)
	if err != nil {
		return nil, err
	}
	observe(a, ip)
	return a.wrapAddress(ip), nil
}

// findAddress returns the address that the path names, by its ID or by itself.
func (a *API) findAddress(c *call) (*address, error) {
	for _, ip := range a.addresses.items {
		if ip.place == c.place() && ip.addr.String() == c.values["id"] {
			return ip, nil
		}
	}
	return a.addresses.find(c.place(), c.values["id"])
}

// updateAddress attaches the address to the server that the request names, and
// detaches it if the request names null.
func (a *API) updateAddress(c *call) (any, error) {
	ip, err := a.findAddress(c)
	if err != nil {
		return nil, err
	}
	var in struct {
		Server json.RawMessage `json:"server"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if len(in.Server) > 0 {
		var id string
		if err := json.Unmarshal(in.Server, &id); err != nil {
			return nil, invalidRequest("server", err.Error())
		}
		if err := a.moveAddress(ip, id); err != nil {
			return nil, err
		}
	}
	if err := c.rename(&ip.base); err != nil {
		return nil, err
	}
	return a.wrapAddress(ip), nil
}

// moveAddress attaches a free address, or detaches one if the ID is empty.
func (a *API) moveAddress(ip *address, id string) error {
	before, err := a.servers.find(ip.place, ip.server)
	switch {
	case id == ip.server:
		return nil
	case err == nil && id != "":
		return invalidRequest("server", "the IP is attached to another server")
	case err == nil:
		ip.server = ""
		a.changed(before)
		return nil
	default:
		return a.attachAddress(ip, id)
	}
}

func (a *API) attachAddress(ip *address, id string) error {
	s, err := a.servers.find(ip.place, id)
	if err != nil {
		return err
	}
	if ip.kind == routedIPv4 && a.countIPv4(s) >= maxAddresses {
		return invalidRequest("server", fmt.Sprintf("a server has at most %d IPv4 addresses", maxAddresses))
	}
	a.give(ip, s)
	a.changed(s)
	return nil
}

// give attaches an address. As recorded, a stopped server has it at once, and a running
// one after some seconds, during which the address is "pending".
func (a *API) give(ip *address, s *server) {
	ip.server = s.id
	if s.status == serverStopped {
		a.set(&ip.base, addressAttached)
		a.schedule(ip)
		return
	}
	a.set(&ip.base, addressPending)
	a.schedule(ip, hold(), step{after: a.duration(AddressAttached), do: func() { a.set(&ip.base, addressAttached) }})
}

func (a *API) countIPv4(s *server) int {
	return len(a.addresses.where(func(ip *address) bool { return ip.server == s.id && ip.kind == routedIPv4 }))
}

func (a *API) deleteAddress(c *call) (any, error) {
	ip, err := a.findAddress(c)
	if err != nil {
		return nil, err
	}
	a.addresses.remove(ip)
	if s, err := a.servers.find(ip.place, ip.server); err == nil {
		a.changed(s)
	}
	return nil, nil
}

func (a *API) addressesOf(s *server) []*address {
	return a.addresses.where(func(ip *address) bool { return ip.server == s.id })
}

// checkAddresses returns an error if the server cannot have these addresses.
func (a *API) checkAddresses(s *server, ids []string) error {
	count := 0
	for _, id := range ids {
		ip, err := a.addresses.find(s.place, id)
		switch {
		case err != nil:
			return err
		case ip.server != "" && ip.server != s.id:
			return invalidRequest("public_ips", "the IP "+id+" is attached to another server")
		case ip.kind == routedIPv4:
			count++
		}
	}
	if count > maxAddresses {
		return invalidRequest("public_ips", fmt.Sprintf("a server has at most %d IPv4 addresses", maxAddresses))
	}
	return nil
}

// setAddresses replaces the addresses of the server.
func (a *API) setAddresses(s *server, ids []string) error {
	if err := a.checkAddresses(s, ids); err != nil {
		return err
	}
	before := a.addressesOf(s)
	for _, ip := range before {
		if !slices.Contains(ids, ip.id) {
			ip.server = ""
		}
	}
	for _, id := range ids {
		ip, err := a.addresses.find(s.place, id)
		if err != nil {
			return err
		}
		if ip.server != s.id {
			a.give(ip, s)
		}
	}
	if len(before) > 0 || len(ids) > 0 {
		a.changed(s)
	}
	return nil
}

// viewServerAddresses returns the addresses in the wire form of their server: all
// of them, and the first one in the old single field. Reconstructed from the SDK.
func (a *API) viewServerAddresses(s *server) (all []object, first any) {
	all = []object{}
	for _, ip := range a.addressesOf(s) {
		family, netmask, gateway := "inet", "32", any("62.210.0.1")
		if ip.kind == routedIPv6 {
			family, netmask, gateway = "inet6", "64", "fe80::dc00:ff:fe20:186"
		}
		all = append(all, object{
			"id": ip.id, "address": ip.addr, "gateway": gateway, "netmask": netmask, "family": family, "dynamic": false,
			"provisioning_mode": "dhcp", "tags": ip.tags, "ipam_id": ip.id, "state": ip.status,
		})
	}
	if len(all) > 0 {
		first = all[0]
	}
	return all, first
}
