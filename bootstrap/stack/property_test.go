package stack

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/bootstrap/config"
	"egress.scw/cloudinit"
	"egress.scw/webhook/api/v1alpha1"
)

// For any existing resources and any configuration, one run leads from the former to the
// latter, and the next run has nothing to do. After a destroy, only the resources of
// another owner are left.
func TestAnyStackConverges(t *testing.T) {
	cases := 100
	if testing.Short() {
		cases = 40
	}
	for seed := range uint64(cases) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 0))
			m := filled(t, randomSpec(t, random))
			damage := m.damage(random)
			// Steps that can run in parallel run in any order.
			m.pause = func() { time.Sleep(rand.N(100 * time.Microsecond)) }
			spec := randomSpec(t, random)

			plan, err := m.diff(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			requireSound(t, plan)
			again, err := m.diff(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(lines(plan), lines(again)); diff != "" {
				t.Errorf("the same resources give another plan: -first +second\n%s", diff)
			}
			requireConverges(t, m, spec)

			m.damage(random)
			plan, err = m.destroy(t.Context(), spec, 8)
			if err != nil {
				t.Errorf("%v\nof the plan\n%s", err, strings.Join(lines(plan), "\n"))
			}
			requireSound(t, plan)
			if left := m.ours(spec); len(left) > 0 {
				t.Errorf("left after a destroy: %q", left)
			}
			if t.Failed() {
				t.Logf("what was done to what existed: %s", strings.Join(damage, ", "))
			}
		})
	}
}

// randomSpec returns a random configuration.
func randomSpec(t *testing.T, random *rand.Rand) Spec {
	t.Helper()
	spec := newSpec(t)
	chance := func(percent int) bool { return random.IntN(100) < percent }
	if chance(20) {
		spec.Network.CIDR = netip.MustParsePrefix("172.16.24.0/21")
	}
	if chance(50) { // one machine to three, in one zone or two
		machines(1 + random.IntN(3))(&spec)
		spec.Proxy.Zones = [][]string{nil, {"fr-par-2"}, {"fr-par-1", "fr-par-2"}, {"fr-par-2", "fr-par-3"}}[random.IntN(4)]
		if chance(30) { // some of them change their addresses
			random.Shuffle(len(spec.Proxy.PrivateIPs), reflect.Swapper(spec.Proxy.PrivateIPs))
		}
	} else if chance(20) {
		spec.Proxy.PrivateIP = netip.MustParseAddr("172.16.28.9")
	}
	if chance(20) {
		spec.Proxy.Type = "PLAY2-MICRO"
	}
	if chance(10) {
		spec.Proxy.VolumeGB = 50
	}
	if chance(30) {
		spec.Registry = &config.Registry{Name: "egress-other", Public: chance(50)}
	}
	if chance(10) {
		spec.Registry = nil
	}
	for i := range spec.Tenants {
		spec.Tenants[i].Proxy.EgressIP = v1alpha1.EgressIPShared
		if chance(50) {
			spec.Tenants[i].Proxy.EgressIP = v1alpha1.EgressIPDedicated
		}
		if chance(20) {
			spec.Tenants[i].Proxy.Port += 10
		}
	}
	if chance(20) {
		spec.Tenants = spec.Tenants[:1]
	}
	switch {
	case chance(10):
		spec.Gateway.Enabled = new(false)
	case chance(20): // the source address of all tenants is the gateway's
		spec.Proxy.SourceAddress, spec.Proxy.SSHSources = cloudinit.SourceGateway, nil
		for i := range spec.Tenants {
			spec.Tenants[i].Proxy.EgressIP = v1alpha1.EgressIPShared
		}
	case chance(25):
		spec.Proxy.SSHSources = []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}
	}
	if chance(20) {
		spec.Cluster.ServiceCIDR = netip.MustParsePrefix("10.48.0.0/20")
	}
	if chance(20) {
		spec.Cluster.Pools[0].NodeType = "PRO2-S"
	}
	if chance(20) {
		spec.Cluster.Pools[0].Size++
	}
	if chance(20) {
		spec.Cluster.Pools = spec.Cluster.Pools[:1]
	}
	if chance(30) {
		spec.Network = config.Network{ID: theirNetwork}
		if chance(50) {
			spec.Cluster.ID = theirCluster
		}
	}
	if chance(10) {
		spec.Cluster = nil
	}
	return spec
}

// damage changes the existing resources as people, interruptions and failures may have
// done, and returns a description.
func (m *memory) damage(random *rand.Rand) []string {
	var done []string
	for range random.IntN(5) {
		candidates := slices.DeleteFunc(slices.Clone(m.resources), func(r Resource) bool { return r.Meta().Existing })
		if len(candidates) == 0 {
			return done
		}
		victim := candidates[random.IntN(len(candidates))]
		what := "change"
		switch random.IntN(4) {
		case 0:
			what = "remove"
			m.remove(victim)
		case 1:
			what = "double"
			if !m.doubleAnything(victim, random) {
				continue
			}
		case 2:
			what = "begin to delete"
			switch victim.(type) {
			case *Gateway, *GatewayNetwork, *Server, *Cluster, *Pool, *Registry:
				victim.Meta().Deleting = true
			default:
				continue
			}
		default:
			change(victim, random)
		}
		done = append(done, what+" "+victim.Key().String()+" "+victim.Meta().ID)
	}
	return done
}

// remove removes a resource with all resources that need it. A volume outlives its
// server. It is not removed by itself: only the API separates a server from its volume.
func (m *memory) remove(victim Resource) {
	if _, ok := victim.(*Volume); ok {
		return
	}
	for _, other := range slices.Clone(m.resources) {
		volume, ok := other.(*Volume)
		switch {
		case !refersTo(other, victim):
		case ok:
			volume.Role, volume.Server = volume.ID, nil
		default:
			m.remove(other)
		}
	}
	m.resources = slices.DeleteFunc(m.resources, func(r Resource) bool { return r == victim })
}

// doubleAnything adds a second resource, older or younger. It returns false if there
// cannot be a second one.
func (m *memory) doubleAnything(victim Resource, random *rand.Rand) bool {
	m.made[KindVolume]++ // counts the doubles
	n := m.made[KindVolume]
	second := snapshot(victim)
	meta := second.Meta()
	meta.ID = fmt.Sprintf("%s-double-%d", meta.ID, n)
	meta.CreatedAt = meta.CreatedAt.Add(time.Duration(random.IntN(2)*2-1) * time.Hour)
	switch s := second.(type) {
	case *Volume:
		s.Role, s.Server = s.ID, nil // it has lost its server
	case *Server:
		s.VolumeID = "volume-of-" + s.ID
		// The second server may have the address of the first one.
		for _, r := range m.resources {
			if nic, ok := r.(*PrivateNIC); ok && random.IntN(2) == 0 && nic.Server.ID == victim.Meta().ID {
				nic.Server = s
			}
		}
	case *FlexibleIP:
		s.Address = netip.AddrFrom4([4]byte{198, 51, 100, byte(n)})
		for _, r := range m.resources {
			if a, ok := r.(*Attachment); ok && random.IntN(2) == 0 && a.IP.ID == victim.Meta().ID {
				a.ID, a.IP = s.ID, s
			}
		}
	case *PrivateIP:
		s.Address = netip.AddrFrom4([4]byte{172, 16, 28, byte(100 + n)})
		for _, r := range m.resources {
			if o, ok := r.(*PrivateIP); ok && o.Address == s.Address {
				return false
			}
		}
	case *VPC, *PrivateNetwork, *Gateway, *GatewayNetwork, *SecurityGroup, *Cluster, *Pool, *Registry:
	default:
		return false // a server has only one
	}
	// Resources that refer to the first one may refer to the second one.
	for _, r := range m.resources {
		switch r := r.(type) {
		case *Server:
			if group, ok := second.(*SecurityGroup); ok && group.Zone == r.Zone && random.IntN(2) == 0 {
				r.SecurityGroup = group
			}
		case *GatewayNetwork:
			if gateway, ok := second.(*Gateway); ok && random.IntN(2) == 0 {
				r.Gateway = gateway
			}
		case *PrivateNetwork:
			if vpc, ok := second.(*VPC); ok && !r.Existing && random.IntN(4) == 0 {
				r.VPC = vpc
			}
		case *Pool:
			if cluster, ok := second.(*Cluster); ok && random.IntN(4) == 0 {
				r.Cluster = cluster
			}
		}
	}
	m.resources = append(m.resources, second)
	return true
}

// change changes a property that people can change, or that failures change.
func change(victim Resource, random *rand.Rand) {
	victim.Meta().Name += "-changed"
	switch r := victim.(type) {
	case *Gateway:
		r.Status = "stopped"
	case *GatewayNetwork:
		r.Masquerade, r.Status = !r.Masquerade, "configuring"
	case *SecurityGroup:
		r.Unmanaged = []string{"accept tcp/80 from 0.0.0.0/0"}
	case *Server:
		if random.IntN(2) == 0 {
			r.Type = "PLAY2-PICO"
		}
	case *Attachment:
		r.Server = &Server{ResourceMeta: ResourceMeta{ID: "theirs"}}
	case *UserData:
		r.Value, r.Revisions = []byte("changed"), nil
	case *Cluster:
		r.ACL, r.Autoscaler.ScaleDownDisabled = nil, true
	case *Pool:
		r.Name = strings.TrimSuffix(r.Name, "-changed") // which is also its role
		r.Labels, r.Size, r.Min, r.Max = nil, 9, 0, 0
	case *Registry:
		r.Public = !r.Public
	}
}

// requireSound requires the properties of all plans.
func requireSound(t *testing.T, plan *Plan) {
	t.Helper()
	requireDrains(t, plan)
	seen := map[string]bool{}
	for _, step := range plan.Steps {
		if seen[step.ID] {
			t.Errorf("there are two steps %q", step.ID)
		}
		for _, need := range step.Needs {
			if !seen[need] {
				t.Errorf("%q needs %q, which does not come before it", step.ID, need)
			}
		}
		seen[step.ID] = true
		if step.Resource().Meta().Existing {
			t.Errorf("%q changes a resource of another owner", step.ID)
		}
	}
}

// requireConverges carries out the plan, eight steps at once. It requires that nothing is
// left to do, and that there is one resource for each key.
func requireConverges(t *testing.T, m *memory, spec Spec) {
	t.Helper()
	plan, err := m.apply(t.Context(), spec, 8)
	if err != nil {
		t.Errorf("%v\nof the plan\n%s", err, strings.Join(lines(plan), "\n"))
		return
	}
	rest, err := m.diff(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if !rest.Empty() {
		t.Errorf("still to do after it: %q", lines(rest))
	}
	var want []string
	for _, r := range rest.Graph.Resources() {
		if !r.Meta().Existing {
			want = append(want, r.Key().String())
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, m.ours(spec)); diff != "" {
		t.Errorf("the resources: -want +got\n%s", diff)
	}
}
