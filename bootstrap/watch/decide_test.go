package watch

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"egress.scw/bootstrap/config/configtest"
	"egress.scw/bootstrap/stack"
	"egress.scw/webhook/api/v1alpha1"
)

// applied returns the resources of the shared egress.yaml, as they exist after apply.
func applied(t *testing.T, spec stack.Spec) *stack.Observed {
	t.Helper()
	graph, err := stack.Desired(spec)
	if err != nil {
		t.Fatal(err)
	}
	address := netip.MustParseAddr("203.0.113.1")
	for i, r := range graph.Resources() {
		meta := r.Meta()
		meta.ID, meta.CreatedAt = fmt.Sprintf("00000000-0000-4000-8000-%012d", i+1), created
		switch r := r.(type) {
		case *stack.FlexibleIP:
			r.Address, r.ServerID = address, "server"
			address = address.Next()
		case *stack.Server:
			r.Running, r.VolumeID = true, "volume"
		case *stack.UserData:
			if r.Value, err = r.Render(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return &stack.Observed{Resources: graph.Resources()}
}

const project = "11111111-2222-4333-8444-555555555555"

func TestDecide(t *testing.T) {
	t.Parallel()
	shared := "port: 3130, egressIP: Dedicated"
	removed := map[string]bool{"client-b": true}
	none := "\n    - {name: client-b, proxy: {port: 3130, egressIP: Dedicated}}"
	for _, c := range []struct {
		name      string
		oldnew    []string
		machines  int // 0: one
		situation Situation
		lost      func(stack.Resource) bool // resources that do not exist
		ending    bool                      // the address of client-b is being deleted
		volume    bool                      // a volume without a server exists
		blocked   string                    // the beginning of the only reason
		kept      int                       // volumes
	}{
		{name: "nothing to do"},
		{name: "a list changes", oldnew: []string{"port: 3129}}", "port: 3129}, allow: {domains: [a.example.com]}}"}},
		{name: "everything is lost", lost: func(stack.Resource) bool { return true }, blocked: "no resource of this stack exists"},
		{name: "the machine is lost", lost: func(r stack.Resource) bool { return r.Key().Kind == stack.KindServer }},
		{name: "the machine is lost, not its volume", lost: func(r stack.Resource) bool { return r.Key().Kind == stack.KindServer }, volume: true, kept: 1},
		{
			name: "a volume is left, to be deleted", volume: true,
			situation: Situation{Permissions: Permissions{Delete: true}},
		},
		{name: "another volume", oldnew: []string{"proxy:\n", "proxy:\n    volumeGB: 30\n"}, blocked: "replaces server/proxy"},
		{
			name: "another volume, permitted", oldnew: []string{"proxy:\n", "proxy:\n    volumeGB: 30\n"},
			situation: Situation{Permissions: Permissions{Replace: true}},
		},
		{name: "an address less", oldnew: []string{shared, "port: 3130"}, blocked: "deletes flexible-ip/tenant/client-b"},
		{name: "an address less, permitted", oldnew: []string{shared, "port: 3130"}, situation: Situation{Permissions: Permissions{Delete: true}}},
		{name: "an address less, being deleted", oldnew: []string{shared, "port: 3130"}, ending: true},
		{name: "a tenant less", oldnew: []string{none, ""}, blocked: "deletes flexible-ip/tenant/client-b"},
		{name: "a tenant less, whose removal was seen", oldnew: []string{none, ""}, situation: Situation{Removed: removed}},
		{name: "a tenant less, of two machines", machines: 2, oldnew: []string{none, ""}, blocked: "deletes flexible-ip/proxy-2/tenant/client-b"},
		{name: "a tenant less of two machines, whose removal was seen", machines: 2, oldnew: []string{none, ""}, situation: Situation{Removed: removed}},
		{
			name: "a tenant of two machines that is left out", machines: 2, oldnew: []string{none, ""}, blocked: "ends the service of tenant client-b",
			situation: Situation{LeftOut: []LeftOut{{Tenant: named("client-b")}}, Permissions: Permissions{Delete: true}},
		},
		{
			name: "a tenant that is left out, and the machine is lost", oldnew: []string{none, ""}, blocked: "deletes the address of tenant client-b",
			lost:      func(r stack.Resource) bool { return r.Key().Kind == stack.KindServer },
			situation: Situation{LeftOut: []LeftOut{{Tenant: named("client-b")}}, Permissions: Permissions{Delete: true}},
		},
		{
			name: "a pool less, and a tenant removed", oldnew: []string{"\n      - {name: client-a, tenant: client-a, nodeType: PRO2-XS, autoscaling: {min: 1, max: 3}}", ""},
			situation: Situation{Removed: removed}, blocked: "deletes pool/client-a",
		},
		{
			name: "a tenant that is left out", oldnew: []string{none, ""}, blocked: "ends the service of tenant client-b",
			situation: Situation{LeftOut: []LeftOut{{Tenant: named("client-b")}}, Permissions: Permissions{Delete: true}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, machines := c.situation, []string{}
			if c.machines == 2 {
				machines = []string{"privateIP: 172.16.28.8", "replicas: 2\n    privateIPs: [172.16.28.8, 172.16.28.9]"}
			}
			s.Observed = applied(t, stack.NewSpec(configtest.Load(t, machines...), project))
			if c.lost != nil {
				s.Observed.Resources = without(s.Observed.Resources, c.lost)
			}
			if c.volume {
				s.Observed.Resources = append(s.Observed.Resources, &stack.Volume{ResourceMeta: stack.ResourceMeta{ID: "left", Name: "left"}, Role: "left"})
			}
			for _, r := range s.Observed.Resources {
				r.Meta().Deleting = c.ending && r.Key() == stack.Key{Kind: stack.KindFlexibleIP, Role: stack.RoleTenant("client-b")}
			}
			var err error
			if s.Plan, err = stack.Diff(stack.NewSpec(configtest.Load(t, append(machines, c.oldnew...)...), project), s.Observed); err != nil {
				t.Fatal(err)
			}
			got := Decide(s)
			text := strings.Join(got.Blocked, "; ")
			if (c.blocked == "") != (text == "") || !strings.HasPrefix(text, c.blocked) || (got.Steps > 0) != (c.blocked != "") {
				t.Errorf("blocked %q (%d steps), want %q", got.Blocked, got.Steps, c.blocked)
			}
			if len(got.Kept) != c.kept || len(got.Plan.Steps)+c.kept != len(s.Plan.Steps) {
				t.Errorf("kept %q, %d of %d steps left", got.Kept, len(got.Plan.Steps), len(s.Plan.Steps))
			}
		})
	}
}

func named(name string) *v1alpha1.EgressTenant {
	tenant := tenant(name, 3130, 0)
	return &tenant
}

// without leaves out resources, and those that are parts of one.
func without(all []stack.Resource, lost func(stack.Resource) bool) []stack.Resource {
	gone := map[string]bool{}
	for _, r := range all {
		if lost(r) {
			gone[r.Meta().ID] = true
		}
	}
	var left []stack.Resource
	for _, r := range all {
		part := false
		for _, need := range r.Needs() {
			part = part || gone[need.Meta().ID] && need.Key().Kind == stack.KindServer
		}
		if !part && !gone[r.Meta().ID] {
			left = append(left, r)
		}
	}
	return left
}

// A message of an event is cut at the bound of Kubernetes, between characters.
func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "short", strings.Repeat("x", maxMessage), strings.Repeat("→", maxMessage)} {
		got := bounded(text)
		if len(got) > maxMessage || !strings.HasPrefix(text, strings.TrimSuffix(got, " …")) || len(text) <= maxMessage && got != text {
			t.Errorf("%d bytes became %d", len(text), len(got))
		}
	}
}

// Health ends when passes end, and not before the first one.
func TestHealth(t *testing.T) {
	t.Parallel()
	h := &Health{Patience: time.Minute}
	if err := h.check(time.Now().Add(time.Hour)); err != nil {
		t.Errorf("a process that waits for the Lease: %v", err)
	}
	h.Alive()
	if err := h.check(time.Now().Add(time.Second)); err != nil {
		t.Error(err)
	}
	if h.check(time.Now().Add(2*time.Minute)) == nil {
		t.Error("two minutes without a pass")
	}
}
