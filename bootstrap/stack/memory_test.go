package stack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"egress.scw/bootstrap/config/configtest"
	"egress.scw/cloudinit"
)

// newSpec returns the stack of the shared egress.yaml, after changes.
func newSpec(t testing.TB, changes ...func(*Spec)) Spec {
	t.Helper()
	spec := NewSpec(configtest.Load(t), "11111111-1111-4111-8111-111111111111")
	for _, change := range changes {
		change(&spec)
	}
	return spec
}

// machines sets the number of machines, in two zones.
func machines(replicas int) func(*Spec) {
	return func(s *Spec) {
		s.Proxy.Replicas, s.Proxy.Zones = int32(replicas), []string{"fr-par-1", "fr-par-2"}
		s.Proxy.PrivateIP, s.Proxy.PrivateIPs = netip.Addr{}, nil
		for i := range replicas {
			s.Proxy.PrivateIPs = append(s.Proxy.PrivateIPs, netip.AddrFrom4([4]byte{172, 16, 28, byte(8 + 20*i)}))
		}
	}
}

// The network and the cluster of another owner.
const (
	theirNetwork = "their-network"
	theirCluster = "their-cluster"
)

// memory is a Cloud that refuses the requests that Scaleway refuses: the creation of a
// resource that refers to a missing one, and the deletion of a resource in use. So it
// detects steps that come too early. The race detector detects values that they read too
// early.
type memory struct {
	mutex     sync.Mutex
	resources []Resource
	made      map[Kind]int
	// pause is called before each request. Nil: no pause.
	pause func()
}

// newMemory returns a Cloud with the resources of another owner.
func newMemory() *memory {
	network := &PrivateNetwork{
		ResourceMeta: ResourceMeta{ID: theirNetwork, Name: "theirs", Existing: true}, VPC: &VPC{ResourceMeta{ID: "their-vpc"}}, CIDR: netip.MustParsePrefix("172.16.28.0/22"),
	}
	return &memory{made: map[Kind]int{}, resources: []Resource{
		&VPC{ResourceMeta{ID: "their-vpc", Name: "theirs", Existing: true}},
		network,
		&Cluster{ResourceMeta: ResourceMeta{ID: theirCluster, Name: "theirs", Existing: true}, Network: network, Status: stateReady},
	}}
}

// filled returns a Cloud after an apply of the configuration.
func filled(t testing.TB, spec Spec) *memory {
	t.Helper()
	m := newMemory()
	plan, err := m.diff(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range plan.Steps { // not by Run, so that IDs are the same each time
		if err := m.Create(t.Context(), step.Resource(), nil); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// copied returns a Cloud with the same resources.
func (m *memory) copied() *memory {
	copied := &memory{made: maps.Clone(m.made)}
	for _, r := range m.resources {
		copied.resources = append(copied.resources, snapshot(r))
	}
	return copied
}

func (m *memory) diff(ctx context.Context, spec Spec) (*Plan, error) {
	observed, err := m.Observe(ctx, spec)
	if err != nil {
		return nil, err
	}
	return Diff(spec, observed)
}

func (m *memory) apply(ctx context.Context, spec Spec, parallelism int) (*Plan, error) {
	plan, err := m.diff(ctx, spec)
	if err != nil {
		return nil, err
	}
	_, err = Runner{Cloud: m, Parallelism: parallelism, Events: func(Event) {}}.Run(ctx, plan)
	return plan, err
}

func (m *memory) destroy(ctx context.Context, spec Spec, parallelism int) (*Plan, error) {
	observed, err := m.Observe(ctx, spec)
	if err != nil {
		return nil, err
	}
	plan := DiffDestroy(observed)
	_, err = Runner{Cloud: m, Parallelism: parallelism, Events: func(Event) {}}.Run(ctx, plan)
	return plan, err
}

// Observe implements Cloud. Like the real one, it returns the parts of only the servers
// that stay, and only those resources of another owner that egress.yaml names.
func (m *memory) Observe(_ context.Context, spec Spec) (*Observed, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	observed := &Observed{}
	staying := m.stayingServers()
	for _, stored := range m.resources {
		meta := stored.Meta()
		if named := meta.ID == spec.Network.ID || spec.Cluster != nil && meta.ID == spec.Cluster.ID; meta.Existing && !named {
			continue
		}
		if server := serverOf(stored); server != nil && stored.Key().Kind != KindAttachment && !staying[server.ID] {
			continue
		}
		r := snapshot(stored)
		r.Meta().Existing = meta.ID == spec.Network.ID || spec.Cluster != nil && meta.ID == spec.Cluster.ID
		switch r := r.(type) {
		case *FlexibleIP:
			for _, other := range m.resources {
				if a, ok := other.(*Attachment); ok && a.IP.ID == r.ID {
					r.ServerID = a.Server.ID
				}
			}
		case *Server:
			if staying[r.ID] {
				r.CloudInit = m.userData(r.ID, cloudinit.UserDataCloudInit)
			}
		}
		observed.Resources = append(observed.Resources, r)
	}
	rand.Shuffle(len(observed.Resources), func(i, j int) {
		observed.Resources[i], observed.Resources[j] = observed.Resources[j], observed.Resources[i]
	})
	return observed, nil
}

// stayingServers returns the IDs of the servers that an observation takes for the
// machines: the oldest one of each role.
func (m *memory) stayingServers() map[string]bool {
	var servers []*Server
	for _, r := range m.resources {
		if s, ok := r.(*Server); ok && !s.Deleting {
			servers = append(servers, s)
		}
	}
	SortByAge(servers)
	roles, staying := map[string]bool{}, map[string]bool{}
	for _, s := range servers {
		staying[s.ID] = !roles[s.Role]
		roles[s.Role] = true
	}
	return staying
}

func (m *memory) userData(server, key string) []byte {
	for _, r := range m.resources {
		if u, ok := r.(*UserData); ok && u.Server.ID == server && u.DataKey == key {
			return u.Value
		}
	}
	return nil
}

// Check implements Cloud.
func (*memory) Check(context.Context, Spec, *Plan) error { return nil }

// MachineStatus implements Cloud.
func (*memory) MachineStatus(context.Context, *Server) ([]byte, error) { return nil, nil }

// Kubeconfig implements Cloud.
func (*memory) Kubeconfig(context.Context, *Cluster) ([]byte, error) {
	return nil, errors.New("there is no kubeconfig")
}

func (m *memory) begin() {
	if m.pause != nil {
		m.pause()
	}
	m.mutex.Lock()
}

// Create implements Cloud. Like the real one, it takes over a resource that exists.
func (m *memory) Create(_ context.Context, r Resource, _ func(string)) error {
	m.begin()
	defer m.mutex.Unlock()
	if err := errors.Join(m.checkNeeds(r), m.checkMark(r)); err != nil {
		return err
	}
	found := slices.DeleteFunc(slices.Clone(m.resources), func(other Resource) bool { return !finds(r, other) })
	if len(found) > 0 {
		SortByAge(found)
		r.CopyObserved(found[0])
		return nil
	}
	stored, err := m.make(r)
	if err != nil {
		return err
	}
	m.resources = append(m.resources, stored)
	r.CopyObserved(stored)
	return nil
}

// make returns the new resource.
func (m *memory) make(r Resource) (Resource, error) {
	kind := r.Key().Kind
	m.made[kind]++
	stored := snapshot(r)
	meta := stored.Meta()
	meta.ID = fmt.Sprintf("%s-%d", kind, m.made[kind])
	meta.CreatedAt = time.Date(2026, 1, 1, 0, 0, m.made[kind], 0, time.UTC)
	switch s := stored.(type) {
	case *Gateway:
		s.Address = netip.MustParseAddr("203.0.113.200")
	case *FlexibleIP:
		s.Address = netip.AddrFrom4([4]byte{203, 0, byte(113 + m.made[kind]/200), byte(m.made[kind] % 200)})
	case *PrivateIP:
		for s.Free && (!s.Address.IsValid() || m.isBooked(s)) {
			m.made["chosen address"]++
			s.Address = netip.AddrFrom4([4]byte{172, 16, 30, byte(m.made["chosen address"])})
		}
		for _, other := range m.resources {
			if o, ok := other.(*PrivateIP); ok && o.Network.ID == s.Network.ID && o.Address == s.Address {
				return nil, fmt.Errorf("%s is booked by %s", s.Address, o.ID)
			}
		}
	case *Server:
		s.CloudInit, s.VolumeID = nil, "volume-of-"+s.ID
	case *Volume:
		s.ID = r.(*Volume).Server.VolumeID
	case *PrivateNIC:
		for _, other := range m.resources {
			if o, ok := other.(*PrivateNIC); ok && o.PrivateIP.ID == s.PrivateIP.ID {
				return nil, fmt.Errorf("%s is the address of %s", s.PrivateIP.ID, o.ID)
			}
		}
	case *Attachment: // detached from any other server
		s.ID = s.IP.ID
		m.resources = slices.DeleteFunc(m.resources, func(other Resource) bool { return other.Key().Kind == kind && other.Meta().ID == s.ID })
	case *UserData:
		value, err := r.(*UserData).Render()
		if err != nil {
			return nil, err
		}
		s.ID, s.Value, s.Revisions = s.Server.ID, value, cloudinit.Revisions(value)
	case *Power:
		s.ID = s.Server.ID
		for _, other := range m.resources {
			if server, ok := other.(*Server); ok && server.ID == s.ID {
				server.Running = true
			}
		}
	case *Registry:
		s.Endpoint = "rg.example.com/" + s.Name
	}
	return stored, nil
}

// chosenAddress is the first address that IPAM chooses.
func chosenAddress() netip.Addr { return netip.MustParseAddr("172.16.30.1") }

// isBooked reports whether a reservation of the same network has the address.
func (m *memory) isBooked(ip *PrivateIP) bool {
	return slices.ContainsFunc(m.resources, func(r Resource) bool {
		other, ok := r.(*PrivateIP)
		return ok && other.Network.ID == ip.Network.ID && other.Address == ip.Address
	})
}

// checkNeeds returns an error if a resource refers to a missing one.
func (m *memory) checkNeeds(r Resource) error {
	for _, need := range r.Needs() {
		if m.find(need) == nil {
			return fmt.Errorf("%s needs %s %q, which does not exist", r.Key(), need.Key(), need.Meta().ID)
		}
	}
	return nil
}

// checkMark returns an error if a resource that is in a zone has no security group there,
// which is how the zone is found again.
func (m *memory) checkMark(r Resource) error {
	if kind := r.Key().Kind; kind != KindFlexibleIP && kind != KindServer && kind != KindVolume {
		return nil
	}
	for _, other := range m.resources {
		if other.Key().Kind == KindSecurityGroup && ZoneOf(other) == ZoneOf(r) {
			return nil
		}
	}
	return fmt.Errorf("%s is in %s, which has no security group", r.Key(), ZoneOf(r))
}

// find returns the stored form of a resource.
func (m *memory) find(r Resource) Resource {
	for _, other := range m.resources {
		if other.Key().Kind == r.Key().Kind && other.Meta().ID == r.Meta().ID && (r.Key().Kind != KindUserData || other.Key() == r.Key()) {
			return other
		}
	}
	return nil
}

// finds reports whether a resource would be taken for the one to create.
func finds(wanted, other Resource) bool {
	if wanted.Key() != other.Key() || ZoneOf(wanted) != ZoneOf(other) || other.Meta().Existing || other.Meta().Deleting {
		return false
	}
	switch wanted := wanted.(type) {
	case *GatewayNetwork:
		o := other.(*GatewayNetwork)
		return o.Gateway.ID == wanted.Gateway.ID && o.Network.ID == wanted.Network.ID
	case *PrivateIP:
		o := other.(*PrivateIP)
		return o.Network.ID == wanted.Network.ID && (wanted.Free || o.Address == wanted.Address)
	case *PrivateNIC:
		o := other.(*PrivateNIC)
		return o.Server.ID == wanted.Server.ID && o.Network.ID == wanted.Network.ID
	case *Pool:
		return other.(*Pool).Cluster.ID == wanted.Cluster.ID
	case *Volume, *Attachment, *UserData, *Power:
		return false // always set again
	default:
		return true
	}
}

// Update implements Cloud.
func (m *memory) Update(_ context.Context, r Resource, changes []Change, _ func(string)) error {
	m.begin()
	defer m.mutex.Unlock()
	if err := m.checkNeeds(r); err != nil {
		return err
	}
	for _, change := range changes {
		if change.Fixed != "" {
			return fmt.Errorf("%s cannot be changed: %s", change.Field, change.Fixed)
		}
	}
	if r.Key().Kind == KindAttachment {
		stored, err := m.make(r)
		m.resources = append(m.resources, stored)
		return err
	}
	current := m.find(r)
	if current == nil || current.Meta().Existing {
		return fmt.Errorf("there is no %s %q to change", r.Key(), r.Meta().ID)
	}
	updated := snapshot(r)
	updated.Meta().CreatedAt = current.Meta().CreatedAt
	switch u := updated.(type) {
	case *Server:
		u.CloudInit, u.Running = nil, current.(*Server).Running
	case *UserData:
		value, err := r.(*UserData).Render()
		if err != nil {
			return err
		}
		u.Value, u.Revisions = value, cloudinit.Revisions(value)
	}
	m.resources[slices.Index(m.resources, current)] = updated
	return nil
}

// Delete implements Cloud.
func (m *memory) Delete(_ context.Context, r Resource, _ func(string)) error {
	m.begin()
	defer m.mutex.Unlock()
	target := m.find(r)
	if target == nil {
		return nil
	}
	if target.Meta().Existing {
		return fmt.Errorf("%s belongs to another owner", r.Key())
	}
	goes := []Resource{target}
	for _, other := range m.resources {
		switch {
		case !refersTo(other, target):
		case target.Key().Kind == KindServer || other.Key().Kind == KindAttachment:
			goes = append(goes, other)
		default:
			return fmt.Errorf("%s is in use by %s %s", r.Meta().ID, other.Key(), other.Meta().ID)
		}
	}
	if address, ok := target.(*FlexibleIP); ok {
		for _, other := range m.resources {
			if u, ok := other.(*UserData); ok && slices.Contains(strings.Fields(string(decoded(u.Value))), address.Address.String()) {
				return fmt.Errorf("%s is in the squid.conf of %s", address.Address, u.ID)
			}
		}
	}
	m.resources = slices.DeleteFunc(m.resources, func(other Resource) bool { return slices.Contains(goes, other) })
	if target.Key().Kind == KindSecurityGroup {
		for _, other := range m.resources {
			if err := m.checkMark(other); err != nil {
				return err
			}
		}
	}
	return nil
}

func refersTo(r, target Resource) bool {
	return slices.ContainsFunc(r.Needs(), func(need Resource) bool {
		return need.Key().Kind == target.Key().Kind && need.Meta().ID == target.Meta().ID
	})
}

// ours returns the keys of the stack's own resources, sorted.
func (m *memory) ours(spec Spec) []string {
	stays := func(id string) bool { return id == spec.Network.ID || spec.Cluster != nil && id == spec.Cluster.ID }
	var vpc string
	for _, r := range m.resources {
		if n, ok := r.(*PrivateNetwork); ok && stays(n.ID) {
			vpc = n.VPC.ID
		}
	}
	var keys []string
	for _, r := range m.resources {
		if meta := r.Meta(); !meta.Existing && !stays(meta.ID) && meta.ID != vpc {
			keys = append(keys, r.Key().String())
		}
	}
	slices.Sort(keys)
	return keys
}

// snapshot returns a copy that knows only the IDs and roles of other resources, like
// an answer of the API.
func snapshot(r Resource) Resource {
	original := reflect.ValueOf(r).Elem()
	copied := reflect.New(original.Type())
	copied.Elem().Set(original)
	for i := range original.NumField() {
		field := copied.Elem().Field(i)
		switch {
		case field.Kind() == reflect.Func:
			field.SetZero()
		case field.Kind() == reflect.Slice && field.Type().Elem().Implements(reflect.TypeFor[Resource]()):
			field.SetZero()
		case field.Type().Implements(reflect.TypeFor[Resource]()) && !field.IsNil():
			field.Set(reference(field))
		}
	}
	return copied.Interface().(Resource)
}

// reference returns a pointer to a resource with nothing but an ID, a role and a zone.
func reference(resource reflect.Value) reflect.Value {
	referred := reflect.New(resource.Type().Elem())
	referred.Interface().(Resource).Meta().ID = resource.Interface().(Resource).Meta().ID
	for _, name := range []string{"Role", "Zone"} {
		if field := referred.Elem().FieldByName(name); field.IsValid() {
			field.Set(resource.Elem().FieldByName(name))
		}
	}
	return referred
}
