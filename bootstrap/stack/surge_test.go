package stack

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/cloudinit"
	"egress.scw/webhook/api/v1alpha1"
)

// otherType is a change that replaces the machine.
func otherType(s *Spec) { s.Proxy.Type = "PLAY2-MICRO" }

// byGateway makes requests leave by the Public Gateway.
func byGateway(s *Spec) {
	s.Proxy.SourceAddress, s.Proxy.SSHSources = cloudinit.SourceGateway, nil
	for i := range s.Tenants {
		s.Tenants[i].Proxy.EgressIP = v1alpha1.EgressIPShared
	}
}

// witness is a Cloud that records changes of machines and attachments, and fails from a
// request on, before or after it is carried out.
type witness struct {
	*memory
	mutex  sync.Mutex
	events []string
	// left is the number of requests until the first one that fails; negative: none fails.
	left  int
	after bool
	// lost are the deletions of servers that had an egress address.
	lost []string
}

var errInterrupted = errors.New("interrupted")

func (w *witness) do(event string, request func() error) error {
	w.mutex.Lock()
	w.left--
	fails, isOver := w.left == -1, w.left < -1 && w.left > -1000
	w.mutex.Unlock()
	if isOver || fails && !w.after {
		return errInterrupted
	}
	err := request()
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if event != "" {
		w.events = append(w.events, event)
	}
	if fails {
		return errInterrupted
	}
	return err
}

func eventOf(action string, r Resource) string {
	switch r := r.(type) {
	case *Server, *Power:
		return action + " " + r.Key().String()
	case *Attachment:
		return r.IP.Role + " to " + r.Server.Role
	case *FlexibleIP:
		return action + " " + r.Key().String()
	}
	return ""
}

func (w *witness) Create(ctx context.Context, r Resource, report func(string)) error {
	return w.do(eventOf("create", r), func() error { return w.memory.Create(ctx, r, report) })
}

func (w *witness) Update(ctx context.Context, r Resource, changes []Change, report func(string)) error {
	return w.do(eventOf("update", r), func() error { return w.memory.Update(ctx, r, changes, report) })
}

func (w *witness) Delete(ctx context.Context, r Resource, report func(string)) error {
	return w.do(eventOf("delete", r), func() error {
		if server, ok := r.(*Server); ok {
			w.lost = append(w.lost, w.addressesAt(server)...)
		}
		return w.memory.Delete(ctx, r, report)
	})
}

// addressesAt returns the egress addresses that a server has.
func (w *witness) addressesAt(server *Server) []string {
	w.memory.mutex.Lock()
	defer w.memory.mutex.Unlock()
	var at []string
	for _, r := range w.resources {
		if a, ok := r.(*Attachment); ok && a.Server.ID == server.ID && !strings.HasSuffix(a.IP.Role, RoleMetadata) {
			at = append(at, a.IP.Role+" at "+server.Role)
		}
	}
	return at
}

// run carries out the plan for a configuration.
func (w *witness) run(t *testing.T, spec Spec, parallelism int) error {
	t.Helper()
	plan, err := w.diff(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	requireSound(t, plan)
	_, err = Runner{
		Cloud: w, Parallelism: parallelism, Events: func(Event) {},
		Live: func(_ context.Context, machine *ProxyMachine, _ func(string)) error {
			w.mutex.Lock()
			defer w.mutex.Unlock()
			if wait := "wait for " + machine.Role; !slices.Contains(w.events, wait) {
				w.events = append(w.events, wait)
			}
			return nil
		},
	}.Run(t.Context(), plan)
	return err
}

func newWitness(m *memory) *witness { return &witness{memory: m, left: -1001} }

// TestSurge: a temporary machine serves while the only one is replaced. The addresses move
// to it when it serves, and back when the new one does.
func TestSurge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Spec)
		want   [][]string // stages, one after the other
	}{
		"flexible addresses": {func(*Spec) {}, [][]string{
			{"create flexible-ip/proxy-spare/metadata", "create server/proxy-spare"},
			{"proxy-spare/metadata to proxy-spare"},
			{"create power/proxy-spare"},
			{"wait for proxy-spare"},
			{"shared to proxy-spare", "tenant/client-b to proxy-spare"},
			{"delete server/proxy"},
			{"create server/proxy"},
			{"proxy-spare/metadata to proxy"},
			{"create power/proxy"},
			{"wait for proxy"},
			{"shared to proxy", "tenant/client-b to proxy"},
			{"delete server/proxy-spare"},
			{"delete flexible-ip/proxy-spare/metadata"},
		}},
		"Public Gateway": {byGateway, [][]string{
			{"create flexible-ip/proxy-spare/metadata", "create server/proxy-spare"},
			{"proxy-spare/metadata to proxy-spare"},
			{"create power/proxy-spare"},
			{"wait for proxy-spare"},
			{"delete server/proxy"},
			{"create server/proxy"},
			{"metadata to proxy"},
			{"create power/proxy"},
			{"wait for proxy"},
			{"delete server/proxy-spare"},
			{"delete flexible-ip/proxy-spare/metadata"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWitness(filled(t, newSpec(t, c.change)))
			after := newSpec(t, c.change, otherType)
			if err := w.run(t, after, 1); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, inStages(w.events, c.want)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			requireConverges(t, w.memory, after)
		})
	}
}

// inStages cuts events into stages of the wanted lengths, each in the order of its texts:
// the steps of a stage do not wait for each other.
func inStages(events []string, want [][]string) [][]string {
	var stages [][]string
	for _, stage := range want {
		n := min(len(stage), len(events))
		stages = append(stages, slices.Sorted(slices.Values(events[:n])))
		events = events[n:]
	}
	if len(events) > 0 {
		stages = append(stages, events)
	}
	return stages
}

// TestSurgeAfterAnInterruption: a run that is interrupted before or after any of its
// requests is continued by the next one, which may be interrupted, too. No run deletes a
// machine that has an egress address.
func TestSurgeAfterAnInterruption(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Spec)
		after  bool
		every  int // positions: user data is rendered several times for each
	}{
		"before a request":               {change: func(*Spec) {}, every: 1},
		"after a request":                {change: func(*Spec) {}, after: true, every: 3},
		"before, with a Public Gateway":  {change: byGateway, every: 4},
		"after, with the Public Gateway": {change: byGateway, after: true, every: 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			full, wanted := filled(t, newSpec(t, c.change)), newSpec(t, c.change, otherType)
			const enough = 27 // requests
			for left := 0; left < enough; left += c.every {
				w := newWitness(full.copied())
				w.left, w.after = left, c.after
				first := w.run(t, wanted, 4)
				if left%2 == 0 { // the second run is interrupted, too
					w.left = left % 7
					_ = w.run(t, wanted, 4)
				}
				w.left = -1001
				if err := w.run(t, wanted, 4); err != nil {
					t.Errorf("%d: %v", left, err)
				}
				if len(w.lost) > 0 {
					t.Errorf("%d: deleted with their addresses: %q; in %q", left, w.lost, w.events)
				}
				if rest, err := w.diff(t.Context(), wanted); err != nil || !rest.Empty() {
					t.Errorf("%d: %v, still to do: %q", left, err, lines(rest))
				}
				if first != nil && left == enough-1 {
					t.Errorf("the run makes more than %d requests: %v", left, first)
				}
			}
		})
	}
}

// TestSurgeWithAnotherChange: an interrupted run is continued although the configuration
// has changed again.
func TestSurgeWithAnotherChange(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Spec){
		"back to the type of before": func(*Spec) {},
		"another type":               func(s *Spec) { s.Proxy.Type = "PLAY2-PICO" },
		"at once":                    func(s *Spec) { s.Proxy.Type, s.ReplaceAtOnce = "PLAY2-PICO", true },
		"two machines":               machines(2),
		"a further address":          func(s *Spec) { otherType(s); s.Tenants[0].Proxy.EgressIP = v1alpha1.EgressIPDedicated },
		"an address less":            func(s *Spec) { s.Tenants[1].Proxy.EgressIP = v1alpha1.EgressIPShared },
		"sidecars":                   func(s *Spec) { s.Proxy.Identity = cloudinit.IdentityOffered },
		"another zone":               func(s *Spec) { s.Zone, s.Proxy.Zones = "fr-par-2", nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			full := filled(t, newSpec(t))
			for left := 4; left < 24; left += 5 {
				w := newWitness(full.copied())
				w.left = left
				_ = w.run(t, newSpec(t, otherType), 4)
				w.left = -1001
				requireConverges(t, w.memory, newSpec(t, change))
			}
		})
	}
}

// TestNoSurge: where a temporary machine cannot help, the only one is replaced as it is.
func TestNoSurge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, after func(*Spec)
		touch         func(*memory)
	}{
		"without waiting":                 {after: func(s *Spec) { otherType(s); s.ReplaceAtOnce = true }},
		"with sidecars":                   {before: func(s *Spec) { s.Proxy.Identity = cloudinit.IdentityOffered }, after: func(s *Spec) { otherType(s); s.Proxy.Identity = cloudinit.IdentityOffered }},
		"another zone":                    {after: func(s *Spec) { s.Proxy.Zones = []string{"fr-par-2"} }},
		"the address is not known":        {after: otherType, touch: func(m *memory) { m.drop("private-ip/proxy-spare") }},
		"two machines":                    {before: machines(2), after: func(s *Spec) { machines(2)(s); otherType(s) }},
		"the address becomes a machine's": {after: func(s *Spec) { otherType(s); s.Proxy.PrivateIP = chosenAddress() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := newSpec(t)
			if c.before != nil {
				c.before(&spec)
			}
			m := filled(t, spec)
			if c.touch != nil {
				c.touch(m)
			}
			after := newSpec(t, c.after)
			plan, err := m.diff(t.Context(), after)
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range plan.Steps {
				if step.Temporary && step.Kind != KindPrivateIP {
					t.Errorf("%s is temporary", step.ID)
				}
			}
			requireConverges(t, m, after)
		})
	}
}

// TestOutageOfASurge: the plan says that the audit log is lost, and of no outage.
func TestOutageOfASurge(t *testing.T) {
	t.Parallel()
	plan, err := filled(t, newSpec(t)).diff(t.Context(), newSpec(t, otherType))
	if err != nil {
		t.Fatal(err)
	}
	var lost []string
	for _, step := range plan.Steps {
		if loss := step.Loss(); loss != "" {
			lost = append(lost, step.ID+": "+loss)
		}
	}
	if want := []string{"server/proxy: its disk, and on it the audit log"}; !slices.Equal(lost, want) {
		t.Errorf("lost: %q, want %q", lost, want)
	}
}
