package scwfake

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"
)

// base contains the properties of all resources.
type base struct {
	id, name, project string
	// place is the zone or region.
	place   string
	tags    []string
	status  string
	created time.Time
	updated time.Time
	// steps are the scheduled transitions.
	steps []step
}

func (b *base) core() *base { return b }

// resource is a type that embeds base.
type resource interface{ core() *base }

// state is the project. API.mu guards all of it.
type state struct {
	vpcs            store[*vpc]
	privateNetworks store[*privateNetwork]
	gateways        store[*gateway]
	gatewayNetworks store[*gatewayNetwork]
	gatewayIPs      store[*gatewayIP]
	ipamIPs         store[*ipamIP]
	servers         store[*server]
	securityGroups  store[*securityGroup]
	addresses       store[*address]
	nics            store[*nic]
	volumes         store[*volume]
	clusters        store[*cluster]
	pools           store[*pool]
	nodes           store[*node]
	namespaces      store[*namespace]
	applications    store[*application]
	policies        store[*policy]
	apiKeys         store[*apiKey]
	// revoked are the secret keys of deleted API keys.
	revoked []string
}

func newState() state {
	typed := func(noun string) func(string) error {
		return func(id string) error { return notFound(noun, id) }
	}
	return state{
		vpcs:            store[*vpc]{missing: typed("vpc")},
		privateNetworks: store[*privateNetwork]{missing: typed("private_network")},
		gateways:        store[*gateway]{missing: typed("gateway")},
		gatewayNetworks: store[*gatewayNetwork]{missing: typed("gateway_network")},
		gatewayIPs:      store[*gatewayIP]{missing: typed("ip")},
		ipamIPs:         store[*ipamIP]{missing: typed("ip")},
		servers:         store[*server]{missing: typed("instance_server")},
		securityGroups: store[*securityGroup]{missing: func(id string) error {
			return unknownResource("Security group", id)
		}},
		addresses:    store[*address]{missing: typed("instance_ip")},
		nics:         store[*nic]{missing: typed("private_network_interface")},
		volumes:      store[*volume]{missing: typed("volume")},
		clusters:     store[*cluster]{missing: typed("cluster")},
		pools:        store[*pool]{missing: typed("pool")},
		nodes:        store[*node]{missing: typed("node")},
		applications: store[*application]{missing: typed("application")},
		policies:     store[*policy]{missing: typed("policy")},
		apiKeys:      store[*apiKey]{missing: typed("access_key")},
		namespaces: store[*namespace]{missing: func(string) error {
			return untyped(404, "Namespace was not found")
		}},
	}
}

// store contains the resources of one kind, from the oldest to the youngest.
type store[T resource] struct {
	items []T
	// missing is the error for an unknown ID.
	missing func(id string) error
}

func (s *store[T]) add(item T) { s.items = append(s.items, item) }

func (s *store[T]) remove(item T) {
	id := item.core().id
	s.items = slices.DeleteFunc(s.items, func(other T) bool { return other.core().id == id })
}

// find returns the resource of the place, or the error of the answer.
func (s *store[T]) find(place, id string) (T, error) {
	for _, item := range s.items {
		if b := item.core(); b.id == id && b.place == place {
			return item, nil
		}
	}
	var none T
	return none, s.missing(id)
}

// where returns the resources for which the predicate is true, from the oldest to the
// youngest.
func (s *store[T]) where(keep func(T) bool) []T {
	var kept []T
	for _, item := range s.items {
		if keep(item) {
			kept = append(kept, item)
		}
	}
	return kept
}

// any reports whether the predicate is true for a resource.
func (s *store[T]) any(keep func(T) bool) bool { return slices.ContainsFunc(s.items, keep) }

// newBase returns the base of a new resource in the place of the call.
func (c *call) newBase(name, project string, tags []string, status string) base {
	return c.api.newBase(c.place(), name, project, tags, status)
}

func (a *API) newBase(place, name, project string, tags []string, status string) base {
	now := a.now()
	return base{
		id: newID(), name: name, project: cmp.Or(project, a.options.ProjectID), place: place,
		tags: listOf(tags), status: status, created: now, updated: now,
	}
}

// now returns the time in microseconds, like the API, but a different one for each
// call, so that the times of resources show the order of their creation.
func (a *API) now() time.Time {
	now := time.Now().UTC().Truncate(time.Microsecond)
	if !now.After(a.lastTime) {
		now = a.lastTime.Add(time.Microsecond)
	}
	a.lastTime = now
	return now
}

// set changes the status of the resource.
func (a *API) set(b *base, status string) {
	b.status, b.updated = status, a.now()
}

// common returns the part of the wire form that all APIs except for Instance share.
func (a *API) common(b *base) object {
	return object{
		"id": b.id, "name": b.name, "tags": b.tags,
		"organization_id": a.options.OrganizationID, "project_id": b.project,
		"created_at": stamp(b.created), "updated_at": stamp(b.updated),
	}
}

// stamp returns a time in the form of all APIs except for Instance.
func stamp(t time.Time) string { return t.Format("2006-01-02T15:04:05.000000Z") }

// instanceStamp returns a time in the form of the Instance API.
func instanceStamp(t time.Time) string { return t.Format("2006-01-02T15:04:05.000000+00:00") }

// newID returns a random UUID.
func newID() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // does not fail
	return formatID(random)
}

// fixedID returns a UUID that depends only on the name: it is the same in every fake.
func fixedID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return formatID([16]byte(sum[:16]))
}

func formatID(b [16]byte) string {
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// orNull returns the ID, or null in JSON for an empty ID.
func orNull(id string) any {
	if id == "" {
		return nil
	}
	return id
}

// listOf returns a copy whose JSON form is an array, even if it is empty.
func listOf[T any](items []T) []T { return append([]T{}, items...) }
