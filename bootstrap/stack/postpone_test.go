package stack

import (
	"slices"
	"testing"

	"egress.scw/cloudinit"
)

// TestReplacementsArePostponed: with sidecars, each run replaces one machine, and leaves
// the others as they are.
func TestReplacementsArePostponed(t *testing.T) {
	t.Parallel()
	offered := func(s *Spec) { machines(3)(s); s.Proxy.Identity = cloudinit.IdentityOffered }
	spec := newSpec(t, offered, func(s *Spec) { s.Proxy.Type = "PLAY2-MICRO" })
	m := filled(t, newSpec(t, offered))
	for _, c := range []struct {
		replaced  string
		postponed []string
	}{
		{"proxy", []string{"proxy-2", "proxy-3"}},
		{"proxy-2", []string{"proxy-3"}},
		{"proxy-3", nil},
		{"", nil},
	} {
		before := of[*UserData](m, "user-data/proxy-3/squid-conf").Value
		plan, err := m.apply(t.Context(), spec, 8)
		if err != nil {
			t.Fatal(err)
		}
		requireSound(t, plan)
		var replaced, postponed []string
		for _, step := range plan.Replacements() {
			replaced = append(replaced, step.Role)
		}
		for _, step := range plan.Postponed {
			postponed = append(postponed, step.Role)
		}
		if want := slices.DeleteFunc([]string{c.replaced}, func(role string) bool { return role == "" }); !slices.Equal(replaced, want) || !slices.Equal(postponed, c.postponed) {
			t.Errorf("replaced %q, postponed %q, want %q and %q", replaced, postponed, c.replaced, c.postponed)
		}
		for _, role := range postponed {
			for _, step := range plan.Steps {
				if step.Role == role || serverOf(step.Resource()) != nil && serverOf(step.Resource()).Role == role {
					t.Errorf("%s, whose machine is postponed", step.ID)
				}
			}
		}
		if machine := plan.Graph.Proxies[2]; slices.Contains(postponed, "proxy-3") {
			value, err := machine.SquidConfValue()
			if err != nil || !slices.Equal(value, before) || machine.Server.ID != of[*Server](m, "server/proxy-3").ID {
				t.Errorf("the postponed machine is %s, %v", machine.Server.ID, err)
			}
		}
	}
	requireConverges(t, m, spec)

	spec.KeepMachines, spec.Proxy.Type = true, "PLAY2-NANO"
	plan, err := m.diff(t.Context(), spec)
	if err != nil || !plan.Empty() || len(plan.Postponed) != 3 {
		t.Errorf("machines to keep: %v, %q, %d postponed", err, lines(plan), len(plan.Postponed))
	}
}

// TestReplacementsInOneRun: without sidecars, and if other changes wait for them.
func TestReplacementsInOneRun(t *testing.T) {
	t.Parallel()
	offered := func(s *Spec) { machines(2)(s); s.Proxy.Identity = cloudinit.IdentityOffered }
	for name, c := range map[string]struct{ before, after func(*Spec) }{
		"ports":              {machines(2), otherMachines(2)},
		"the first sidecars": {machines(2), func(s *Spec) { offered(s); s.Proxy.Type = "PLAY2-MICRO" }},
		"addresses":          {offered, func(s *Spec) { offered(s); slices.Reverse(s.Proxy.PrivateIPs) }},
		"zones":              {offered, func(s *Spec) { offered(s); slices.Reverse(s.Proxy.Zones) }},
	} {
		m := filled(t, newSpec(t, c.before))
		plan, err := m.diff(t.Context(), newSpec(t, c.after))
		if err != nil {
			t.Fatal(err)
		}
		if servers := slices.DeleteFunc(plan.Replacements(), func(s *Step) bool { return s.Kind != KindServer }); len(servers) != 2 || len(plan.Postponed) > 0 {
			t.Errorf("%s: %d machines are replaced, and %d postponed", name, len(servers), len(plan.Postponed))
		}
		requireConverges(t, m, newSpec(t, c.after))
	}
}
