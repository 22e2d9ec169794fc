package scwfake

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
)

// securityGroup filters the public traffic of servers.
type securityGroup struct {
	base
	description       string
	stateful          bool
	inbound, outbound string
	// guarded groups block mail with rules that cannot be edited.
	guarded        bool
	projectDefault bool
	rules          []rule
}

// The states of security groups.
const (
	groupAvailable = "available"
	groupSyncing   = "syncing"
)

// rule is a rule in the JSON form of requests and replies.
type rule struct {
	ID          string  `json:"id"`
	Protocol    string  `json:"protocol"`
	Direction   string  `json:"direction"`
	IPRange     string  `json:"ip_range"`
	DestIPRange *string `json:"dest_ip_range"`
	From        *uint32 `json:"dest_port_from"`
	To          *uint32 `json:"dest_port_to"`
	Position    int     `json:"position"`
	Editable    bool    `json:"editable"`
	Action      string  `json:"action"`
	Zone        string  `json:"zone"`
}

func (a *API) securityGroupRoutes() []route {
	const collection = "/instance/v1/zones/{zone}/security_groups"
	const item = collection + "/{id}"
	return []route{
		{method: http.MethodGet, pattern: collection, handle: a.listSecurityGroups},
		{
			method: http.MethodPost, pattern: collection, handle: a.createSecurityGroup, status: http.StatusCreated,
			creates: "security_group", latency: PostSecurityGroup,
		},
		{method: http.MethodGet, pattern: item, handle: a.getSecurityGroup},
		{method: http.MethodPatch, pattern: item, handle: a.updateSecurityGroup},
		{method: http.MethodDelete, pattern: item, handle: a.deleteSecurityGroup, status: http.StatusNoContent},
		{method: http.MethodGet, pattern: item + "/rules", handle: a.listRules},
		{method: http.MethodPut, pattern: item + "/rules", handle: a.setRules},
	}
}

func (a *API) viewSecurityGroup(g *securityGroup) object {
	view := a.instanceCommon(&g.base)
	servers := []object{}
	for _, s := range a.serversOf(g) {
		servers = append(servers, object{"id": s.id, "name": s.name})
	}
	view["description"] = orNull(g.description)
	view["servers"] = servers
	view["stateful"] = g.stateful
	view["inbound_default_policy"] = g.inbound
	view["outbound_default_policy"] = g.outbound
	view["organization_default"] = false
	view["project_default"] = g.projectDefault
	view["enable_default_security"] = g.guarded
	view["state"] = g.status
	return view
}

func (a *API) wrapSecurityGroup(g *securityGroup) object {
	return object{"security_group": a.viewSecurityGroup(g)}
}

func (a *API) serversOf(g *securityGroup) []*server {
	return a.servers.where(func(s *server) bool { return s.group == g.id })
}

func (a *API) groupSummary(s *server) any {
	g, err := a.securityGroups.find(s.place, s.group)
	if err != nil {
		return nil
	}
	return object{"id": g.id, "name": g.name}
}

func (a *API) listSecurityGroups(c *call) (any, error) {
	return instanceList(c, &a.securityGroups, "security_groups", func(g *securityGroup) bool {
		return matches(c.query, &g.base) && hasAllTags(c.query, &g.base) && isBool(c.query, "project_default", g.projectDefault)
	}, a.viewSecurityGroup), nil
}

func (a *API) createSecurityGroup(c *call) (any, error) {
	in := struct {
		Name        string   `json:"name"`
		Description string   `json:"description"`
		Project     string   `json:"project"`
		Tags        []string `json:"tags"`
		Stateful    bool     `json:"stateful"`
		Inbound     string   `json:"inbound_default_policy"`
		Outbound    string   `json:"outbound_default_policy"`
		Guarded     bool     `json:"enable_default_security"`
	}{Guarded: true}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	g := &securityGroup{
		base: c.newBase(in.Name, in.Project, in.Tags, groupAvailable), description: in.Description, stateful: in.Stateful,
		inbound: cmp.Or(in.Inbound, "accept"), outbound: cmp.Or(in.Outbound, "accept"), guarded: in.Guarded,
	}
	if err := g.checkPolicies(); err != nil {
		return nil, err
	}
	a.securityGroups.add(g)
	return a.wrapSecurityGroup(g), nil
}

func (g *securityGroup) checkPolicies() error {
	policies := []string{"accept", "drop"}
	switch {
	case !slices.Contains(policies, g.inbound):
		return invalidRequest("inbound_default_policy", g.inbound+" is not a policy")
	case !slices.Contains(policies, g.outbound):
		return invalidRequest("outbound_default_policy", g.outbound+" is not a policy")
	default:
		return nil
	}
}

// groupFor returns the group that a new server names, or the default group that each
// project has in a zone. The fake creates the default group when it is needed.
func (a *API) groupFor(c *call, id, project string) (*securityGroup, error) {
	if id != "" {
		return a.securityGroups.find(c.place(), id)
	}
	return a.defaultGroup(c.place(), "Default security group", project), nil
}

func (a *API) defaultGroup(zone, name, project string) *securityGroup {
	wanted := a.newBase(zone, name, project, nil, groupAvailable)
	for _, g := range a.securityGroups.items {
		if g.projectDefault && g.place == zone && g.project == wanted.project && g.name == name {
			return g
		}
	}
	g := &securityGroup{
		base: wanted, stateful: true, inbound: "accept", outbound: "accept", guarded: true, projectDefault: true,
	}
	a.securityGroups.add(g)
	return g
}

func (a *API) getSecurityGroup(c *call) (any, error) {
	g, err := get(c, &a.securityGroups, "id")
	if err != nil {
		return nil, err
	}
	return a.wrapSecurityGroup(g), nil
}

// updateSecurityGroup changes a group, which is "syncing" for a while, as recorded.
// Rules are accepted meanwhile.
func (a *API) updateSecurityGroup(c *call) (any, error) {
	g, err := a.securityGroups.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	updated := *g
	in := struct {
		Description *string `json:"description"`
		Stateful    *bool   `json:"stateful"`
		Inbound     *string `json:"inbound_default_policy"`
		Outbound    *string `json:"outbound_default_policy"`
		Guarded     *bool   `json:"enable_default_security"`
	}{&updated.description, &updated.stateful, &updated.inbound, &updated.outbound, &updated.guarded}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := updated.checkPolicies(); err != nil {
		return nil, err
	}
	if err := c.rename(&updated.base); err != nil {
		return nil, err
	}
	*g = updated
	a.set(&g.base, groupSyncing)
	a.schedule(g, hold(), step{do: func() { a.set(&g.base, groupAvailable) }})
	return a.wrapSecurityGroup(g), nil
}

func (a *API) deleteSecurityGroup(c *call) (any, error) {
	g, err := a.securityGroups.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if len(a.serversOf(g)) > 0 || g.projectDefault {
		observe(a, a.serversOf(g)...)
		return nil, conflict("Group is in use. You cannot delete it.")
	}
	a.securityGroups.remove(g)
	return nil, nil
}

// allRules returns the rules that cannot be edited, if the group is guarded, followed
// by its own rules.
func (g *securityGroup) allRules() []rule {
	all := []rule{}
	if g.guarded {
		for _, network := range []string{"0.0.0.0/0", "::/0"} {
			for _, port := range []uint32{25, 465, 587} {
				position := len(all) + 1
				all = append(all, rule{
					ID: fmt.Sprintf("11111111-2222-4333-8444-%012d", position), Protocol: "TCP", Direction: "outbound",
					IPRange: network, From: &port, Position: position, Action: "drop", Zone: g.place,
				})
			}
		}
	}
	return append(all, g.rules...)
}

func (a *API) listRules(c *call) (any, error) {
	g, err := a.securityGroups.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	return object{"rules": instancePage(c, g.allRules())}, nil
}

// setRules replaces the group's own rules. A rule with the ID of a rule that cannot
// be edited refers to that rule.
func (a *API) setRules(c *call) (any, error) {
	g, err := a.securityGroups.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	var in struct {
		Rules []struct {
			Action    string  `json:"action"`
			Protocol  string  `json:"protocol"`
			Direction string  `json:"direction"`
			IPRange   string  `json:"ip_range"`
			From      *uint32 `json:"dest_port_from"`
			To        *uint32 `json:"dest_port_to"`
			Editable  *bool   `json:"editable"`
		} `json:"rules"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	rules := make([]rule, 0, len(in.Rules))
	for _, wanted := range in.Rules {
		if wanted.Editable != nil && !*wanted.Editable {
			continue
		}
		r := rule{
			ID: newID(), Protocol: wanted.Protocol, Direction: wanted.Direction, Action: wanted.Action,
			From: wanted.From, To: wanted.To, Position: len(rules) + 1, Editable: true, Zone: g.place,
		}
		if r.IPRange, err = bareRange(wanted.IPRange); err != nil {
			return nil, err
		}
		if err := r.check(); err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	g.rules, g.updated = rules, a.now()
	return object{"rules": g.allRules()}, nil
}

func (r *rule) check() error {
	switch {
	case !slices.Contains([]string{"TCP", "UDP", "ICMP", "ANY"}, r.Protocol):
		return invalidRequest("protocol", r.Protocol+" is not a protocol")
	case !slices.Contains([]string{"inbound", "outbound"}, r.Direction):
		return invalidRequest("direction", r.Direction+" is not a direction")
	case !slices.Contains([]string{"accept", "drop"}, r.Action):
		return invalidRequest("action", r.Action+" is not an action")
	default:
		return nil
	}
}

// bareRange returns the range of a single address without its prefix length.
func bareRange(text string) (string, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		return address.String(), nil
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return "", invalidRequest("ip_range", err.Error())
	case prefix.IsSingleIP():
		return prefix.Addr().String(), nil
	default:
		return prefix.Masked().String(), nil
	}
}
