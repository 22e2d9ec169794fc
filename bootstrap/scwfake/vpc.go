package scwfake

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
)

type vpc struct {
	base
	isDefault, transitivity bool
}

type privateNetwork struct {
	base
	vpc          string
	subnets      []subnet
	defaultRoute bool
}

type subnet struct {
	id     string
	prefix netip.Prefix
}

func (a *API) vpcRoutes() []route {
	const collection, item = "/vpc/v2/regions/{region}/vpcs", "/vpc/v2/regions/{region}/vpcs/{id}"
	return []route{
		{method: http.MethodGet, pattern: collection, handle: a.listVPCs},
		{method: http.MethodPost, pattern: collection, handle: a.createVPC, creates: "vpc", latency: PostVPC},
		{method: http.MethodGet, pattern: item, handle: a.getVPC},
		{method: http.MethodPatch, pattern: item, handle: a.updateVPC},
		{method: http.MethodDelete, pattern: item, handle: a.deleteVPC, status: http.StatusNoContent},
	}
}

func (a *API) privateNetworkRoutes() []route {
	const collection, item = "/vpc/v2/regions/{region}/private-networks", "/vpc/v2/regions/{region}/private-networks/{id}"
	return []route{
		{method: http.MethodGet, pattern: collection, handle: a.listPrivateNetworks},
		{
			method: http.MethodPost, pattern: collection, handle: a.createPrivateNetwork,
			creates: "private_network", latency: PostPrivateNetwork,
		},
		{method: http.MethodGet, pattern: item, handle: a.getPrivateNetwork},
		{method: http.MethodPatch, pattern: item, handle: a.updatePrivateNetwork},
		{
			method: http.MethodDelete, pattern: item, handle: a.deletePrivateNetwork,
			status: http.StatusNoContent, latency: DeletePrivateNetwork,
		},
	}
}

func (a *API) viewVPC(v *vpc) object {
	view := a.common(&v.base)
	view["region"] = v.place
	view["is_default"] = v.isDefault
	view["private_network_count"] = len(a.privateNetworks.where(func(n *privateNetwork) bool { return n.vpc == v.id }))
	// Recorded as true although enable_routing was false in the request.
	view["routing_enabled"] = true
	view["custom_routes_propagation_enabled"] = true
	view["transitivity_enabled"] = v.transitivity
	view["s3_integration_enabled"] = false
	return view
}

func (a *API) listVPCs(c *call) (any, error) {
	return list(c, &a.vpcs, "vpcs", func(v *vpc) bool {
		return matches(c.query, &v.base) && hasAnyTag(c.query, &v.base) && isBool(c.query, "is_default", v.isDefault)
	}, a.viewVPC), nil
}

func (a *API) createVPC(c *call) (any, error) {
	var in struct {
		Name         string   `json:"name"`
		ProjectID    string   `json:"project_id"`
		Tags         []string `json:"tags"`
		Transitivity bool     `json:"enable_transitivity"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	v := &vpc{base: c.newBase(in.Name, in.ProjectID, in.Tags, ""), transitivity: in.Transitivity}
	a.vpcs.add(v)
	return a.viewVPC(v), nil
}

func (a *API) getVPC(c *call) (any, error) {
	v, err := get(c, &a.vpcs, "id")
	if err != nil {
		return nil, err
	}
	return a.viewVPC(v), nil
}

func (a *API) updateVPC(c *call) (any, error) {
	v, err := a.vpcs.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if err := c.rename(&v.base); err != nil {
		return nil, err
	}
	return a.viewVPC(v), nil
}

// rename is the PATCH of resources with a name and tags.
func (c *call) rename(b *base) error {
	var in struct {
		Name *string   `json:"name"`
		Tags *[]string `json:"tags"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Name != nil {
		b.name = *in.Name
	}
	if in.Tags != nil {
		b.tags = listOf(*in.Tags)
	}
	b.updated = c.api.now()
	return nil
}

func (a *API) deleteVPC(c *call) (any, error) {
	v, err := a.vpcs.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if a.privateNetworks.any(func(n *privateNetwork) bool { return n.vpc == v.id }) {
		return nil, stillInUse("VPC must be empty to be deleted")
	}
	a.vpcs.remove(v)
	return nil, nil
}

func (a *API) viewPrivateNetwork(n *privateNetwork) object {
	view := a.common(&n.base)
	subnets := make([]object, 0, len(n.subnets))
	for _, s := range n.subnets {
		subnets = append(subnets, object{
			"id": s.id, "subnet": s.prefix, "project_id": n.project, "private_network_id": n.id, "vpc_id": n.vpc,
			"region": n.place, "created_at": stamp(n.created), "updated_at": stamp(n.updated),
		})
	}
	view["region"] = n.place
	view["subnets"] = subnets
	view["vpc_id"] = n.vpc
	view["dhcp_enabled"] = true
	view["default_route_propagation_enabled"] = n.defaultRoute
	view["has_s3_integration"] = false
	return view
}

func (a *API) listPrivateNetworks(c *call) (any, error) {
	return list(c, &a.privateNetworks, "private_networks", func(n *privateNetwork) bool {
		return matches(c.query, &n.base) && hasAnyTag(c.query, &n.base) &&
			is(c.query, "vpc_id", n.vpc) && is(c.query, "private_network_ids", n.id)
	}, a.viewPrivateNetwork), nil
}

func (a *API) createPrivateNetwork(c *call) (any, error) {
	var in struct {
		Name         string   `json:"name"`
		ProjectID    string   `json:"project_id"`
		Tags         []string `json:"tags"`
		Subnets      []string `json:"subnets"`
		VPC          string   `json:"vpc_id"`
		DefaultRoute bool     `json:"default_route_propagation_enabled"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.VPC == "" {
		in.VPC = a.defaultVPC(c, in.ProjectID).id
	} else if _, err := a.vpcs.find(c.place(), in.VPC); err != nil {
		return nil, err
	}
	subnets, err := a.newSubnets(in.VPC, in.Subnets)
	if err != nil {
		return nil, err
	}
	n := &privateNetwork{
		base: c.newBase(in.Name, in.ProjectID, in.Tags, ""), vpc: in.VPC, subnets: subnets, defaultRoute: in.DefaultRoute,
	}
	a.privateNetworks.add(n)
	return a.viewPrivateNetwork(n), nil
}

// defaultVPC returns the VPC that each project has in a region. The fake creates it
// when it is needed.
func (a *API) defaultVPC(c *call, project string) *vpc {
	wanted := c.newBase("default", project, nil, "")
	for _, v := range a.vpcs.items {
		if v.isDefault && v.place == wanted.place && v.project == wanted.project {
			return v
		}
	}
	v := &vpc{base: wanted, isDefault: true}
	a.vpcs.add(v)
	return v
}

// newSubnets checks the subnets and adds one of each family that is missing.
func (a *API) newSubnets(vpc string, wanted []string) ([]subnet, error) {
	var prefixes []netip.Prefix
	for _, text := range wanted {
		prefix, err := netip.ParsePrefix(text)
		switch {
		case err != nil:
			return nil, invalidArgument("subnets", "format", err.Error())
		case prefix.Overlaps(netip.MustParsePrefix("100.64.0.0/10")):
			return nil, invalidArgument("subnets", "constraint", "100.64.0.0/10 is reserved")
		case a.subnetTaken(vpc, prefix):
			return nil, invalidArgument("subnets", "constraint", prefix.String()+" overlaps with another subnet of the VPC")
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	if !slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Addr().Is4() }) {
		third := 0
		for a.subnetTaken(vpc, netip.MustParsePrefix(fmt.Sprintf("172.16.%d.0/22", third))) && third < 252 {
			third += 4
		}
		prefixes = slices.Insert(prefixes, 0, netip.MustParsePrefix(fmt.Sprintf("172.16.%d.0/22", third)))
	}
	if !slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		id := newID()
		prefixes = append(prefixes, netip.MustParsePrefix(fmt.Sprintf("fd5f:519c:6d46:%s::/64", id[:4])).Masked())
	}
	subnets := make([]subnet, 0, len(prefixes))
	for _, prefix := range prefixes {
		subnets = append(subnets, subnet{id: newID(), prefix: prefix})
	}
	return subnets, nil
}

func (a *API) subnetTaken(vpc string, prefix netip.Prefix) bool {
	return a.privateNetworks.any(func(n *privateNetwork) bool {
		return n.vpc == vpc && slices.ContainsFunc(n.subnets, func(s subnet) bool { return s.prefix.Overlaps(prefix) })
	})
}

func (a *API) getPrivateNetwork(c *call) (any, error) {
	n, err := get(c, &a.privateNetworks, "id")
	if err != nil {
		return nil, err
	}
	return a.viewPrivateNetwork(n), nil
}

func (a *API) updatePrivateNetwork(c *call) (any, error) {
	n, err := a.privateNetworks.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	var in struct {
		DefaultRoute *bool `json:"default_route_propagation_enabled"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.DefaultRoute != nil {
		n.defaultRoute = *in.DefaultRoute
	}
	if err := c.rename(&n.base); err != nil {
		return nil, err
	}
	return a.viewPrivateNetwork(n), nil
}

func (a *API) deletePrivateNetwork(c *call) (any, error) {
	n, err := a.privateNetworks.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if a.networkInUse(n) {
		return nil, stillInUse("Private Network must be empty to be deleted")
	}
	a.privateNetworks.remove(n)
	return nil, nil
}

// networkInUse reports whether a resource is on the network. The call counts as a
// read of the resources that are being removed.
func (a *API) networkInUse(n *privateNetwork) bool {
	attached := a.gatewayNetworks.where(func(g *gatewayNetwork) bool { return g.network == n.id })
	clusters := a.clusters.where(func(c *cluster) bool { return c.network == n.id })
	inUse := len(attached) > 0 || len(clusters) > 0 ||
		a.nics.any(func(card *nic) bool { return card.network == n.id }) ||
		a.ipamIPs.any(func(ip *ipamIP) bool { return ip.network == n.id })
	observe(a, attached...)
	observe(a, clusters...)
	return inUse
}
