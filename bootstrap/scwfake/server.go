package scwfake

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// The states of servers.
const (
	serverStopped  = "stopped"
	serverStarting = "starting"
	serverRunning  = "running"
	serverStopping = "stopping"
)

// maxAddresses is the maximum number of IPv4 addresses of a server.
const maxAddresses = 5

type server struct {
	base
	kind, mac string
	image     image
	group     string
	// drives are the volumes by their number.
	drives    map[string]drive
	dynamicIP bool
	protected bool
	userData  map[string][]byte
	// detail is the state's detail, if it is not the usual one.
	detail string
	// node servers belong to a Kubernetes pool.
	node bool
}

// drive is a volume of a server. The Block Storage API also serves SBS volumes. Local
// volumes only exist here.
type drive struct {
	id, kind string
	boot     bool
}

func (a *API) serverRoutes() []route {
	const collection, item = "/instance/v1/zones/{zone}/servers", "/instance/v1/zones/{zone}/servers/{id}"
	return []route{
		{method: http.MethodGet, pattern: collection, handle: a.listServers},
		{
			method: http.MethodPost, pattern: collection, handle: a.createServer, status: http.StatusCreated,
			creates: "instance_server", latency: PostServer,
		},
		{method: http.MethodGet, pattern: item, handle: a.getServer},
		{method: http.MethodPatch, pattern: item, handle: a.updateServer},
		{method: http.MethodDelete, pattern: item, handle: a.deleteServer, status: http.StatusNoContent},
		{method: http.MethodPost, pattern: item + "/action", handle: a.serverAction, status: http.StatusAccepted},
	}
}

// allowedActions are recorded, except for the ones of a stopping server, which are a
// guess.
func (s *server) allowedActions() []string {
	switch s.status {
	case serverStopped:
		return []string{"poweron", "backup"}
	case serverStarting:
		return []string{"stop_in_place", "backup"}
	case serverRunning:
		return []string{"poweroff", "terminate", "reboot", "stop_in_place", "backup"}
	default:
		return []string{}
	}
}

func (a *API) viewServer(s *server) object {
	view := a.instanceCommon(&s.base)
	hostname := strings.Map(func(r rune) rune {
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') {
			return r
		}
		return '-'
	}, strings.ToLower(s.name))
	drives := object{}
	for number, d := range s.drives {
		drives[number] = object{"boot": d.boot, "volume_type": d.kind, "id": d.id, "state": "available", "zone": s.place}
	}
	view["arch"] = s.image.arch
	view["commercial_type"] = s.kind
	view["boot_type"] = "local"
	view["hostname"] = hostname
	view["image"] = a.viewImage(s.image)
	view["volumes"] = drives
	view["state"] = s.status
	view["state_detail"] = cmp.Or(s.detail, map[string]string{serverStarting: "allocating node", serverRunning: "booting kernel"}[s.status])
	view["protected"] = s.protected
	view["mac_address"] = s.mac
	view["routed_ip_enabled"] = true
	view["ipv6"] = nil
	view["extra_networks"] = []object{}
	view["dynamic_ip_required"] = s.dynamicIP
	view["enable_ipv6"] = false
	view["private_ip"] = nil
	view["bootscript"] = nil
	view["security_group"] = a.groupSummary(s)
	view["location"] = nil
	if s.status == serverRunning {
		view["location"] = object{
			"zone_id": s.place, "platform_id": "14", "cluster_id": "35", "hypervisor_id": "1302", "node_id": "21",
		}
	}
	view["maintenances"] = []object{}
	view["allowed_actions"] = s.allowedActions()
	view["placement_group"] = nil
	view["private_nics"] = views(a.nicsOf(s), a.viewNICv1)
	view["filesystems"] = []object{}
	view["end_of_service"] = false
	view["dns"] = s.id + ".pub.instances.scw.cloud"
	view["public_ips"], view["public_ip"] = a.viewServerAddresses(s)
	return view
}

// instanceCommon returns the part of the wire form that all resources of instance/v1
// share.
func (a *API) instanceCommon(b *base) object {
	return object{
		"id": b.id, "name": b.name, "tags": b.tags, "zone": b.place,
		"organization": a.options.OrganizationID, "project": b.project,
		"creation_date": instanceStamp(b.created), "modification_date": instanceStamp(b.updated),
	}
}

func (a *API) wrapServer(s *server) object { return object{"server": a.viewServer(s)} }

func (a *API) listServers(c *call) (any, error) {
	return instanceList(c, &a.servers, "servers", func(s *server) bool {
		return matches(c.query, &s.base) && hasAllTags(c.query, &s.base) &&
			is(c.query, "state", s.status) && is(c.query, "commercial_type", s.kind) &&
			a.onNetwork(c.query.Get("private_network"), s) &&
			(c.query.Get("servers") == "" || slices.Contains(strings.Split(c.query.Get("servers"), ","), s.id))
	}, a.viewServer), nil
}

func (a *API) onNetwork(network string, s *server) bool {
	return network == "" || a.nics.any(func(n *nic) bool { return n.server == s.id && n.network == network })
}

func (a *API) getServer(c *call) (any, error) {
	s, err := get(c, &a.servers, "id")
	if err != nil {
		return nil, err
	}
	observe(a, a.nicsOf(s)...)
	return a.wrapServer(s), nil
}

func (a *API) updateServer(c *call) (any, error) {
	s, err := a.servers.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	var in struct {
		Protected *bool           `json:"protected"`
		DynamicIP *bool           `json:"dynamic_ip_required"`
		Kind      string          `json:"commercial_type"`
		PublicIPs *[]string       `json:"public_ips"`
		Group     json.RawMessage `json:"security_group"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if len(in.Group) > 0 {
		var group struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(in.Group, &group); err != nil {
			return nil, invalidRequest("security_group", err.Error())
		}
		if _, err := a.securityGroups.find(c.place(), group.ID); err != nil {
			return nil, err
		}
		s.group = group.ID
	}
	if in.Kind != "" && in.Kind != s.kind {
		if _, ok := findType(in.Kind); !ok || s.status != serverStopped {
			return nil, invalidRequest("commercial_type", "cannot change to "+in.Kind+" while "+s.status)
		}
		s.kind = in.Kind
	}
	if in.PublicIPs != nil {
		if err := a.setAddresses(s, *in.PublicIPs); err != nil {
			return nil, err
		}
	}
	if in.Protected != nil {
		s.protected = *in.Protected
	}
	if in.DynamicIP != nil {
		s.dynamicIP = *in.DynamicIP
	}
	if err := c.rename(&s.base); err != nil {
		return nil, err
	}
	return a.wrapServer(s), nil
}

func (a *API) deleteServer(c *call) (any, error) {
	s, err := a.servers.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if s.protected {
		return nil, precondition("protected_resource", "cannot delete a protected server")
	}
	if s.status != serverStopped {
		observe(a, s)
		return nil, invalidRequest("", "server should be stopped")
	}
	a.removeServer(s)
	return nil, nil
}

// removeServer keeps the SBS volumes and the flexible IPs.
func (a *API) removeServer(s *server) {
	for _, n := range a.nicsOf(s) {
		a.removeNIC(n)
	}
	for _, address := range a.addressesOf(s) {
		address.server = ""
	}
	for _, d := range s.drives {
		if v, err := a.volumes.find(s.place, d.id); err == nil {
			a.detachVolume(v)
		}
	}
	a.servers.remove(s)
}

// serverAction starts an action that the server allows. The refusal is
// reconstructed.
func (a *API) serverAction(c *call) (any, error) {
	s, err := a.servers.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	var in struct {
		Action string `json:"action"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if !slices.Contains(s.allowedActions(), in.Action) {
		state := s.status
		observe(a, s)
		return nil, invalidRequest("", "cannot "+in.Action+" a server that is "+state)
	}
	running := step{after: a.duration(ServerRunning), do: func() {
		if a.isShort(s.kind) {
			a.fallBack(s)
			return
		}
		a.set(&s.base, serverRunning)
		a.poweredOn(s)
	}}
	s.detail = ""
	switch in.Action {
	case "poweron":
		a.set(&s.base, serverStarting)
		a.schedule(s, hold(), running)
	case "reboot":
		a.poweredOff(s)
		a.set(&s.base, serverStarting)
		a.schedule(s, hold(), running)
	case "poweroff":
		a.poweredOff(s)
		a.set(&s.base, serverStopping)
		a.schedule(s, hold(), step{after: a.duration(ServerStopped), do: func() { a.set(&s.base, serverStopped) }})
	case "terminate":
		if s.protected {
			return nil, precondition("protected_resource", "cannot delete a protected server")
		}
		a.poweredOff(s)
		a.set(&s.base, serverStopping)
		a.schedule(s, hold(), step{after: a.duration(ServerGone), do: func() { a.removeServer(s) }})
	default:
		return nil, invalidRequest("action", "scwfake: "+in.Action+" is not served")
	}
	path := "/servers/" + s.id
	return object{"task": object{
		"id": "00000000-0000-0000-0000-000000000000", "description": "fake task", "status": "pending",
		"href_from": path + "/action", "href_result": path, "started_at": instanceStamp(a.now()),
		"terminated_at": nil, "progress": 0, "zone": s.place,
	}}, nil
}
