package stack

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rolled carries out a plan in which machines are replaced, and returns what happened, in
// order. live is called for a machine that others are waited for.
func rolled(t *testing.T, m *memory, spec Spec, live func(role string) error) (events []string, err error) {
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
		},
		Live: func(_ context.Context, machine *ProxyMachine, _ func(string)) error {
			add("wait for " + machine.Role)
			return live(machine.Role)
		},
	}
	_, err = runner.Run(t.Context(), plan)
	return events, err
}

// TestMachinesAreReplacedOneAtATime: a machine is deleted for its replacement after all
// others serve that are not replaced after it.
func TestMachinesAreReplacedOneAtATime(t *testing.T) {
	t.Parallel()
	serves := func(string) error { return nil }
	other := func(replicas int) func(*Spec) {
		return func(s *Spec) { machines(replicas)(s); s.Proxy.Type = "PLAY2-MICRO" }
	}
	for name, c := range map[string]struct {
		before, after func(*Spec)
		touch         func(*memory)
		want          []string
	}{
		"three": {machines(3), other(3), func(*memory) {}, []string{
			"delete server/proxy", "create power/proxy",
			"wait for proxy", "delete server/proxy-2", "create power/proxy-2",
			"wait for proxy", "wait for proxy-2", "delete server/proxy-3", "create power/proxy-3",
		}},
		"an interrupted run has replaced the first": {machines(2), other(2), func(m *memory) { of[*Server](m, "server/proxy").Type = "PLAY2-MICRO" }, []string{
			"wait for proxy", "delete server/proxy-2", "create power/proxy-2",
		}},
		"the second already has the type": {machines(2), other(2), func(m *memory) { of[*Server](m, "server/proxy-2").Type = "PLAY2-MICRO" }, []string{
			"wait for proxy-2", "delete server/proxy", "create power/proxy",
		}},
		"a second one comes with the change": {machines(1), other(2), func(*memory) {}, []string{
			"create power/proxy-2", "wait for proxy-2", "delete server/proxy", "create power/proxy",
		}},
		"one": {machines(1), func(s *Spec) { other(1)(s); s.ReplaceAtOnce = true }, func(*memory) {}, []string{"delete server/proxy", "create power/proxy"}},
	} {
		m := filled(t, newSpec(t, c.before))
		c.touch(m)
		events, err := rolled(t, m, newSpec(t, c.after), serves)
		if diff := cmp.Diff(c.want, events); diff != "" || err != nil {
			t.Errorf("%s: %v, -want +got\n%s", name, err, diff)
		}
		requireConverges(t, m, newSpec(t, c.after))
	}
}

// TestMachineThatDoesNotServeStopsTheNext: the others stay as they are, and the next run
// continues.
func TestMachineThatDoesNotServeStopsTheNext(t *testing.T) {
	t.Parallel()
	after := newSpec(t, machines(3), func(s *Spec) { s.Proxy.VolumeGB = 50 })
	m := filled(t, newSpec(t, machines(3)))
	errDead := errors.New("does not serve")
	events, err := rolled(t, m, after, func(string) error { return errDead })
	if want := []string{"delete server/proxy", "create power/proxy", "wait for proxy"}; !slices.Equal(events, want) {
		t.Errorf("%q, want %q", events, want)
	}
	if !errors.Is(err, errDead) || !strings.Contains(err.Error(), "drain server/proxy-2") {
		t.Errorf("the error is %v", err)
	}
	events, err = rolled(t, m, after, func(string) error { return nil })
	if want := []string{"wait for proxy", "delete server/proxy-2", "create power/proxy-2", "wait for proxy", "wait for proxy-2", "delete server/proxy-3", "create power/proxy-3"}; err != nil || !slices.Equal(events, want) {
		t.Errorf("the next run: %v, %q, want %q", err, events, want)
	}
	requireConverges(t, m, after)
}

// TestOutageOfOneMachine: the plan says that tenants have no egress, unless others serve.
func TestOutageOfOneMachine(t *testing.T) {
	t.Parallel()
	for replicas, outage := range map[int]bool{1: true, 2: false} {
		m := filled(t, newSpec(t, machines(replicas)))
		plan, err := m.diff(t.Context(), newSpec(t, machines(replicas), func(s *Spec) { s.Proxy.Type, s.ReplaceAtOnce = "PLAY2-MICRO", true }))
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range plan.Replacements() {
			if loss := step.Loss(); strings.Contains(loss, "no egress") != outage || !strings.Contains(loss, "audit log") {
				t.Errorf("%d machines: %s: %q", replicas, step.ID, loss)
			}
		}
	}
}
