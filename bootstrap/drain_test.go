package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"egress.scw/bootstrap/stack"
	"egress.scw/cloudinit"
)

// drainedCloud is a Cloud of two machines that report: "proxy-2", which is drained, and
// "proxy", which can serve instead.
type drainedCloud struct {
	stubCloud

	// follows is the time after which proxy-2 serves its drained squid.conf. Negative: it
	// never does.
	follows time.Duration
	// refuses is whether it refuses it.
	refuses bool
	// connections are the open connections, one number for each second after it serves
	// it; the last one is repeated. None: it reports no number.
	connections []int
	// change changes the report of a machine, nil for none.
	change func(role string, status *cloudinit.Status) *cloudinit.Status

	written   time.Time
	writeFail error
}

func (c *drainedCloud) Update(context.Context, stack.Resource, []stack.Change, func(string)) error {
	if c.writeFail == nil && c.written.IsZero() {
		c.written = time.Now()
	}
	return c.writeFail
}

func (c *drainedCloud) MachineStatus(_ context.Context, server *stack.Server) ([]byte, error) {
	status := &cloudinit.Status{Time: time.Now(), Served: "before"}
	if since := time.Since(c.written) - c.follows; server.Role == "proxy-2" && !c.written.IsZero() && c.follows >= 0 && since >= 0 {
		if c.refuses {
			status.Refused, status.Reason = cloudinit.Digest([]byte("drained")), "FATAL"
		} else {
			status.Served = cloudinit.Digest([]byte("drained"))
		}
		if len(c.connections) > 0 && !c.refuses {
			status.Connections = &c.connections[min(int(since/time.Second), len(c.connections)-1)]
		}
	}
	if c.change != nil {
		status = c.change(server.Role, status)
	}
	if status == nil {
		return nil, nil
	}
	return json.Marshal(status)
}

// drainOf returns the details of a step that drains proxy-2.
func drainOf() *stack.Draining {
	machine := func(role string) *stack.Server {
		return &stack.Server{ResourceMeta: stack.ResourceMeta{ID: role}, Role: role, Running: true}
	}
	second := machine("proxy-2")
	return &stack.Draining{
		Machine: second, Others: []*stack.Server{machine("proxy"), {Role: "not created"}},
		Drained: &stack.UserData{Server: second, Render: func() ([]byte, error) { return []byte("drained"), nil }},
	}
}

func newTestDrainer(cloud stack.Cloud, timeout time.Duration) *drainer {
	p := &program{options: options{drainTimeout: timeout}}
	return p.newDrainer(&target{cloud: cloud})
}

// TestDrain: a machine is taken away when the Services have left it and its connections
// have ended, and at the latest after the timeout. One that does not work is taken away
// at once.
func TestDrain(t *testing.T) {
	t.Parallel()
	of := func(role string, change func(*cloudinit.Status)) func(string, *cloudinit.Status) *cloudinit.Status {
		return func(r string, s *cloudinit.Status) *cloudinit.Status {
			if r == role {
				change(s)
			}
			return s
		}
	}
	silent := func(role string) func(string, *cloudinit.Status) *cloudinit.Status {
		return func(r string, s *cloudinit.Status) *cloudinit.Status {
			if r == role {
				return nil
			}
			return s
		}
	}
	const settled = settleTime
	for name, c := range map[string]struct {
		cloud   *drainedCloud
		timeout time.Duration
		took    time.Duration
		want    string
		written bool
	}{
		"no connections":         {&drainedCloud{connections: []int{0}}, time.Minute, settled, "proxy-2: 0 open connections ended", true},
		"it follows later":       {&drainedCloud{follows: 5 * time.Second, connections: []int{0}}, time.Minute, 5*time.Second + settled, "proxy-2: 0 open connections ended", true},
		"they end":               {&drainedCloud{connections: append(slices.Repeat([]int{3}, 20), 0)}, time.Minute, 20 * time.Second, "proxy-2: 0 open connections ended", true},
		"they do not end":        {&drainedCloud{connections: []int{14}}, time.Minute, settled + time.Minute, "proxy-2: 14 open connections ended", true},
		"one does not":           {&drainedCloud{connections: []int{1}}, 1500 * time.Millisecond, settled + 1500*time.Millisecond, "proxy-2: 1 open connection ended", true},
		"without waiting":        {&drainedCloud{connections: []int{14}}, 0, settled, "proxy-2: 14 open connections ended", true},
		"of an earlier version":  {&drainedCloud{}, time.Minute, settled + time.Minute, "proxy-2: the number of open connections that ended is not known", true},
		"it does not follow":     {&drainedCloud{follows: -1}, time.Minute, drainPatience + statusInterval, "it did not report within 1m0s that it serves the configuration for that", true},
		"it refuses":             {&drainedCloud{refuses: true}, time.Minute, 0, "it refuses the configuration for that: FATAL", true},
		"it has not reported":    {&drainedCloud{change: silent("proxy-2")}, time.Minute, 0, "it has not reported its state", false},
		"it reports no more":     {&drainedCloud{change: of("proxy-2", func(s *cloudinit.Status) { s.Time = s.Time.Add(-time.Hour) })}, time.Minute, 0, "it has not reported since 1999-12-31T23:00:00Z", false},
		"it serves nothing":      {&drainedCloud{change: of("proxy-2", func(s *cloudinit.Status) { s.Served = "" })}, time.Minute, 0, "it serves no configuration", false},
		"it reports nonsense":    {&drainedCloud{change: of("proxy-2", func(s *cloudinit.Status) { s.Certificate = "x" })}, time.Minute, 0, "does not contain exactly one certificate", false},
		"no user data":           {&drainedCloud{writeFail: errors.New("gone")}, time.Minute, 0, "its user data cannot be written: gone", false},
		"the other is silent":    {&drainedCloud{change: silent("proxy")}, time.Minute, 0, "no other machine serves", false},
		"the other serves not":   {&drainedCloud{change: of("proxy", func(s *cloudinit.Status) { s.Served = "" })}, time.Minute, 0, "no other machine serves", false},
		"the other reports late": {&drainedCloud{change: of("proxy", func(s *cloudinit.Status) { s.Time = s.Time.Add(-time.Hour) })}, time.Minute, 0, "no other machine serves", false},
		"the other is drained":   {&drainedCloud{change: of("proxy", func(s *cloudinit.Status) { s.Connections = new(int) })}, time.Minute, drainPatience + statusInterval, "no other machine serves", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newTestDrainer(c.cloud, c.timeout)
				began := time.Now()
				if err := d.drain(t.Context(), drainOf(), func(string) {}); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("took %s, want %s", took, c.took)
				}
				if len(d.machines) != 1 || !strings.Contains(d.machines[0].text(), c.want) || strings.Contains(d.machines[0].text(), "first") == (d.machines[0].Problem == "") {
					t.Errorf("%+v, want %q", d.machines, c.want)
				}
				if c.written == c.cloud.written.IsZero() {
					t.Errorf("written at %s", c.cloud.written)
				}
			})
		})
	}
}

// TestDrainEndsAtOnce: the end of the context ends a drain, at any time, with an error.
func TestDrainEndsAtOnce(t *testing.T) {
	t.Parallel()
	errStop := errors.New("stopped by the test")
	for second := range 20 {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancelCause(t.Context())
			defer stop(nil)
			after := time.Duration(second)*time.Second + time.Millisecond
			time.AfterFunc(after, func() { stop(errStop) })
			d := newTestDrainer(&drainedCloud{follows: 5 * time.Second, connections: []int{14}}, time.Minute)
			began := time.Now()
			if err := d.drain(ctx, drainOf(), func(string) {}); !errors.Is(err, errStop) || time.Since(began) != after || len(d.machines) > 0 {
				t.Errorf("after %s: %v, %+v", time.Since(began), err, d.machines)
			}
		})
	}
}

// TestApplyDrains: apply drains each of two machines that are replaced, and says which
// connections have ended with them, as JSON too.
func TestApplyDrains(t *testing.T) {
	text := replaced(t, append(twoMachines(), "proxy:\n", "proxy:\n    type: PLAY2-MICRO\n")...)
	before := newSpec(t, replaced(t, twoMachines()...))
	for _, form := range []string{"table", "json"} {
		graph, observed := made(t, before)
		var mutex sync.Mutex
		var events []string
		values := map[string][]byte{} // by role
		cloud := &stubCloud{observed: observed, kubeconfig: kubeconfigOf("test")}
		cloud.create = func(_ context.Context, r stack.Resource) error {
			mutex.Lock()
			defer mutex.Unlock()
			switch r := r.(type) {
			case *stack.Server:
				events = append(events, r.Role+" "+r.Type)
				if r.ID == "" { // otherwise it is deleted
					r.ID = "made"
				}
				delete(values, r.Role)
			case *stack.UserData:
				if r.DataKey != cloudinit.UserDataSquidConf {
					return nil
				}
				value, err := r.Render()
				if err != nil {
					return err
				}
				values[r.Server.Role] = value
				events = append(events, r.Server.Role+" squid.conf")
			}
			return nil
		}
		cloud.ofMachine = func(role string) []byte {
			mutex.Lock()
			defer mutex.Unlock()
			for _, proxy := range graph.Proxies {
				if proxy.Role == role {
					return reportedBy(t, proxy, func(s *cloudinit.Status) {
						s.Time = time.Now()
						if value := values[role]; value != nil {
							s.Served = cloudinit.Digest(value)
							if ordinary, _ := proxy.SquidConfValue(); cloudinit.Digest(ordinary) != s.Served {
								s.Connections = new(14)
							}
						}
					})
				}
			}
			return nil
		}
		s := newSession(t, text)
		s.cloud = cloud
		got := require(t, exitDone, s.run(t.Context(), "apply", "--yes", "--allow-replace", "--drain-timeout=100ms", "-o", form))
		want := []string{"proxy squid.conf", "proxy PLAY2-NANO", "proxy PLAY2-MICRO", "proxy squid.conf", "proxy-2 squid.conf", "proxy-2 PLAY2-NANO", "proxy-2 PLAY2-MICRO", "proxy-2 squid.conf"}
		if !slices.Equal(events, want) {
			t.Errorf("%s: %q, want %q", form, events, want)
		}
		if form == "json" {
			var document applied
			if err := json.Unmarshal([]byte(got.stdout), &document); err != nil {
				t.Fatal(err)
			}
			if drained := document.Drained; len(drained) != 2 || drained[0].Role != "proxy" || *drained[0].Connections != 14 || drained[1].Problem != "" {
				t.Errorf("%+v", drained)
			}
			continue
		}
		for _, role := range []string{"proxy", "proxy-2"} {
			if want := fmt.Sprintf("%s: 14 open connections ended.\n", role); !strings.Contains(got.stdout, want) {
				t.Errorf("no %q in\n%s", want, got.stdout)
			}
		}
	}
}
