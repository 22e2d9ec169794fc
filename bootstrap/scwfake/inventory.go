package scwfake

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Item is one resource of an Inventory.
type Item struct {
	// Kind is a noun, such as "server" or "private-network".
	Kind string
	ID   string
	// Name is empty for a resource without a name.
	Name string
	Tags []string
	// Place is the zone or region.
	Place string
	// Parent is the ID of the resource that this one belongs to: the server of a
	// NIC, the gateway of a gateway network, the cluster of a pool, the holder of
	// an address. It is empty if there is none.
	Parent string
	// Status is empty for a resource without a status.
	Status string
	// Details are the other properties by name: all that a client can change or
	// see, except for times.
	Details map[string]string
}

// String returns a line for people.
func (i Item) String() string {
	line := strings.TrimRight(fmt.Sprintf("%s %s %s %s", i.Kind, i.ID, i.Name, i.Status), " ")
	return line + fmt.Sprintf(" %q in %s", i.Tags, i.Place)
}

// Inventory returns the resources of the project, sorted by kind, then by age. Two
// inventories are equal (by go-cmp or reflect.DeepEqual) exactly if the project is
// the same: the same resources, in the same states, with the same properties.
//
// The resources that Scaleway creates in each project, the default VPC of a region
// and the default security group of a zone, are left out unless they were changed.
// ForeignNamespaces are not in the project.
func (a *API) Inventory() []Item {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.settle()
	var all []Item
	all = appendItems(all, "vpc", a.vpcs.items, func(v *vpc) (string, object) { return "", a.viewVPC(v) })
	all = slices.DeleteFunc(all, a.pristineVPC)
	all = appendItems(all, "private-network", a.privateNetworks.items,
		func(n *privateNetwork) (string, object) { return n.vpc, a.viewPrivateNetwork(n) })
	all = appendItems(all, "gateway", a.gateways.items, func(g *gateway) (string, object) { return "", a.viewGateway(g) })
	all = appendItems(all, "gateway-network", a.gatewayNetworks.items,
		func(n *gatewayNetwork) (string, object) { return n.gateway, a.viewGatewayNetwork(n) })
	all = appendItems(all, "gateway-ip", a.gatewayIPs.items,
		func(ip *gatewayIP) (string, object) { return ip.gateway, a.viewGatewayIP(ip) })
	all = appendItems(all, "ipam-ip", a.ipamIPs.items, func(ip *ipamIP) (string, object) {
		view := a.viewIPAMIP(ip)
		view["private_network_id"], view["booked"] = ip.network, ip.booked
		if ip.holder == nil {
			return "", view
		}
		return ip.holder.id, view
	})
	all = appendItems(all, "server", a.servers.items, func(s *server) (string, object) {
		view := a.viewServer(s)
		view["user_data"] = userDataSums(s)
		return "", view
	})
	groups := a.securityGroups.where(func(g *securityGroup) bool { return !a.pristineGroup(g) })
	all = appendItems(all, "security-group", groups, func(g *securityGroup) (string, object) {
		view := a.viewSecurityGroup(g)
		view["rules"] = rulesWithoutIDs(g)
		return "", view
	})
	all = appendItems(all, "flexible-ip", a.addresses.items, func(ip *address) (string, object) { return ip.server, a.viewAddress(ip) })
	all = appendItems(all, "nic", a.nics.items, func(n *nic) (string, object) { return n.server, a.viewNICv2(n) })
	all = appendItems(all, "volume", a.volumes.items, func(v *volume) (string, object) { return v.server, a.viewVolume(v) })
	all = appendItems(all, "cluster", a.clusters.items, func(k *cluster) (string, object) {
		view := a.viewCluster(k)
		view["acls"] = aclsWithoutIDs(k)
		return "", view
	})
	all = appendItems(all, "pool", a.pools.items, func(p *pool) (string, object) { return p.cluster, a.viewPool(p) })
	all = appendItems(all, "node", a.nodes.items, func(n *node) (string, object) { return n.pool, a.viewNode(n) })
	all = appendItems(all, "namespace", a.namespaces.items, func(n *namespace) (string, object) { return "", a.viewNamespace(n) })
	slices.SortStableFunc(all, func(x, y Item) int { return cmp.Compare(x.Kind, y.Kind) })
	return all
}

// appendItems adds the resources in their wire form, without the times.
func appendItems[T resource](all []Item, kind string, items []T, view func(T) (parent string, wire object)) []Item {
	for _, item := range items {
		b := item.core()
		parent, wire := view(item)
		status, _ := cmp.Or(wire["status"], wire["state"]).(string)
		for _, key := range []string{
			"id", "name", "tags", "status", "state", "created_at", "updated_at", "creation_date", "modification_date",
			"last_detached_at", "allowed_actions",
		} {
			delete(wire, key)
		}
		entry := Item{
			Kind: kind, ID: b.id, Name: b.name, Tags: listOf(b.tags), Place: b.place, Parent: parent,
			Status: status, Details: map[string]string{},
		}
		for key, value := range wire {
			text, err := json.Marshal(timeless(value))
			if err != nil {
				text = []byte(err.Error())
			}
			entry.Details[key] = string(text)
		}
		all = append(all, entry)
	}
	return all
}

// timeless removes the times from objects within an object.
func timeless(value any) any {
	switch value := value.(type) {
	case []object:
		return views(value, func(o object) object { return timeless(o).(object) })
	case object:
		inner := object{}
		for key, field := range value {
			if !strings.HasSuffix(key, "ed_at") && !strings.HasSuffix(key, "_date") {
				inner[key] = timeless(field)
			}
		}
		return inner
	default:
		return value
	}
}

// userDataSums returns the checksums of the user data by key.
func userDataSums(s *server) map[string]string {
	sums := map[string]string{}
	for key, value := range s.userData {
		sums[key] = fmt.Sprintf("sha256:%x", sha256.Sum256(value))
	}
	return sums
}

// rulesWithoutIDs returns the group's rules. Setting the same rules again gives them
// new IDs, to which no other resource refers.
func rulesWithoutIDs(g *securityGroup) []rule {
	rules := listOf(g.rules)
	for i := range rules {
		rules[i].ID = ""
	}
	return rules
}

func aclsWithoutIDs(k *cluster) []acl {
	acls := listOf(k.acls)
	for i := range acls {
		acls[i].ID = ""
	}
	return acls
}

func (a *API) pristineVPC(i Item) bool {
	return i.Details["is_default"] == "true" && i.Details["private_network_count"] == "0" && i.Name == "default" && len(i.Tags) == 0
}

func (a *API) pristineGroup(g *securityGroup) bool {
	untouched := g.stateful && g.inbound == "accept" && g.outbound == "accept" && g.guarded
	return g.projectDefault && untouched && len(g.rules) == 0 && len(g.tags) == 0
}
