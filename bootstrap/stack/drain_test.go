package stack

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/bootstrap/config"
	"egress.scw/cloudinit"
)

// drained carries out a plan and returns what happened to machines, in order: drains with
// the machines that can serve instead, waits, deletions and starts.
func drained(t *testing.T, m *memory, spec Spec) (events []string) {
	t.Helper()
	plan, err := m.diff(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	requireSound(t, plan)
	var mutex sync.Mutex
	add := func(event string) {
		mutex.Lock()
		defer mutex.Unlock()
		events = append(events, event)
	}
	runner := Runner{
		Cloud: m, Parallelism: 8,
		Events: func(e Event) {
			if e.Phase == Done && (e.Step.Kind == KindServer && e.Step.Action == Delete || e.Step.Kind == KindPower) {
				add(string(e.Step.Action) + " " + Key{e.Step.Kind, e.Step.Role}.String())
			}
			if data, ok := e.Step.Resource().(*UserData); ok && e.Phase == Done && e.Step.Action == Update {
				add("write " + data.Server.Role)
			}
		},
		Live: func(_ context.Context, machine *ProxyMachine, _ func(string)) error {
			add("wait for " + machine.Role)
			return nil
		},
		Drain: func(ctx context.Context, d *Draining, report func(string)) error {
			var others []string
			for _, other := range d.Others {
				if other.ID == "" {
					t.Errorf("%s, which can serve instead of %s, does not exist", other.Role, d.Machine.Role)
				}
				others = append(others, other.Role)
			}
			slices.Sort(others)
			add("drain " + d.Machine.Role + ", not " + strings.Join(others, " and "))
			return m.Update(ctx, d.Drained, nil, report)
		},
	}
	if _, err := runner.Run(t.Context(), plan); err != nil {
		t.Error(err)
	}
	return events
}

// TestMachinesAreDrained: a machine that is replaced or not wanted any more is drained
// first, when those serve that its deletion waits for.
func TestMachinesAreDrained(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, after func(*Spec)
		touch         func(*memory)
		want          []string
	}{
		"two are replaced": {machines(2), otherMachines(2), untouched, []string{
			"drain proxy, not proxy-2", "delete server/proxy", "create power/proxy",
			"wait for proxy", "drain proxy-2, not proxy", "delete server/proxy-2", "create power/proxy-2",
		}},
		"one fewer": {machines(2), machines(1), untouched, []string{"drain proxy-2, not proxy", "delete server/proxy-2"}},
		"an interrupted run has replaced the first": {machines(2), otherMachines(2), func(m *memory) { of[*Server](m, "server/proxy").Type = "PLAY2-MICRO" }, []string{
			"wait for proxy", "drain proxy-2, not proxy", "delete server/proxy-2", "create power/proxy-2",
		}},
		"an interrupted run has drained the one that stays": {machines(2), machines(1), drainMachine("proxy"), []string{"write proxy", "drain proxy-2, not proxy", "delete server/proxy-2"}},
		"an interrupted run has drained it":                 {machines(2), machines(1), drainMachine("proxy-2"), []string{"drain proxy-2, not proxy", "delete server/proxy-2"}},
		"a second one comes with the change": {machines(1), otherMachines(2), untouched, []string{
			"create power/proxy-2", "wait for proxy-2", "drain proxy, not proxy-2", "delete server/proxy", "create power/proxy",
		}},
	} {
		m := filled(t, newSpec(t, c.before))
		c.touch(m)
		if diff := cmp.Diff(c.want, drained(t, m, newSpec(t, c.after))); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
		requireConverges(t, m, newSpec(t, c.after))
	}
}

// TestMachinesAreNotDrained: without another machine that can serve instead, and if the
// machine itself serves nothing.
func TestMachinesAreNotDrained(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, after func(*Spec)
		touch         func(*memory)
	}{
		"one machine":            {machines(1), otherMachines(1), untouched},
		"it is stopped":          {machines(2), machines(1), func(m *memory) { of[*Server](m, "server/proxy-2").Running = false }},
		"the other is stopped":   {machines(2), machines(1), func(m *memory) { of[*Server](m, "server/proxy").Running = false }},
		"its deletion has begun": {machines(2), machines(1), func(m *memory) { of[*Server](m, "server/proxy-2").Deleting = true }},
		"its squid.conf is none": {machines(2), machines(1), func(m *memory) { of[*UserData](m, "user-data/proxy-2/squid-conf").Value = []byte("x") }},
		"all move to another network": {machines(2), func(s *Spec) {
			machines(2)(s)
			s.Network, s.Cluster = config.Network{ID: theirNetwork}, nil
		}, untouched},
		"nothing to do": {machines(2), machines(2), untouched},
		"an interrupted run has drained one that stays": {machines(2), machines(2), drainMachine("proxy-2")},
	} {
		m := filled(t, newSpec(t, c.before))
		c.touch(m)
		for _, event := range drained(t, m, newSpec(t, c.after)) {
			if strings.HasPrefix(event, "drain ") {
				t.Errorf("%s: %s", name, event)
			}
		}
		requireConverges(t, m, newSpec(t, c.after))
	}
	m := filled(t, newSpec(t, machines(2)))
	observed, err := m.Observe(t.Context(), newSpec(t, machines(2)))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range DiffDestroy(observed).Steps {
		if step.Action == Drain {
			t.Errorf("destroy: %s", step.ID)
		}
	}
}

func untouched(*memory) {}

// otherMachines sets the number of machines, and another type.
func otherMachines(replicas int) func(*Spec) {
	return func(s *Spec) { machines(replicas)(s); s.Proxy.Type = "PLAY2-MICRO" }
}

// drainMachine drains a machine.
func drainMachine(role string) func(*memory) {
	return func(m *memory) {
		data := of[*UserData](m, "user-data/"+role+"/squid-conf")
		value, err := cloudinit.DrainedSquidConf(data.Value)
		if err != nil {
			panic(err)
		}
		data.Value = value
	}
}

// TestFailedDrain: a machine whose drain fails stays, and the next run drains it again.
// One whose drained squid.conf cannot be written is taken away.
func TestFailedDrain(t *testing.T) {
	t.Parallel()
	spec := newSpec(t, machines(1))
	m := filled(t, newSpec(t, machines(2)))
	plan, err := m.diff(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	errDrain := errors.New("interrupted")
	_, err = Runner{
		Cloud: m, Parallelism: 8, Events: func(Event) {},
		Drain: func(context.Context, *Draining, func(string)) error { return errDrain },
	}.Run(t.Context(), plan)
	if !errors.Is(err, errDrain) || !strings.Contains(err.Error(), "drain server/proxy-2") {
		t.Errorf("the error is %v", err)
	}
	if of[*Server](m, "server/proxy-2") == nil {
		t.Error("the machine is gone")
	}
	if want, got := []string{"drain proxy-2, not proxy", "delete server/proxy-2"}, drained(t, m, spec); !slices.Equal(want, got) {
		t.Errorf("the next run: %q, want %q", got, want)
	}
	requireConverges(t, m, spec)

	m = filled(t, newSpec(t, machines(2)))
	if plan, err = m.diff(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	m.drop("user-data/proxy-2/squid-conf")
	if _, err := (Runner{Cloud: m, Parallelism: 8, Events: func(Event) {}}).Run(t.Context(), plan); err != nil {
		t.Errorf("without user data: %v", err)
	}
	requireConverges(t, m, spec)
}

// requireDrains requires that in a plan a machine is drained before anything of it is
// taken away: in every plan after random events.
func requireDrains(t *testing.T, plan *Plan) {
	t.Helper()
	drains := map[string]*Step{}
	for _, step := range plan.Steps {
		if step.Action == Drain {
			drains[step.ResourceID] = step
		}
	}
	for _, step := range plan.Steps {
		var machine string
		switch r := step.Resource().(type) {
		case *Server:
			machine = r.ID
		case *PrivateNIC:
			machine = r.Server.ID
		case *FlexibleIP:
			machine = r.ServerID
		}
		if drain := drains[machine]; step.Action == Delete && drain != nil && !plan.reaches(step, drain) {
			t.Errorf("%q does not come after %q", step.ID, drain.ID)
		}
	}
}
