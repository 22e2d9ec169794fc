package main

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/sidecar/internal/machinetest"
)

// site is two machines behind gates. The sidecar uses one of them.
type site struct {
	*process
	echo        string
	used, other *machinetest.Machine
	gate        *machinetest.Gate // of the machine in use
	open        *tunnel           // through it
}

// startSite starts a site, and sends a request by the machine in use. On a busy machine, that one
// may not answer within its second: then another site is started.
func startSite(t *testing.T, request func(*site) error) *site {
	t.Helper()
	for range 10 {
		s := newSite(t)
		if err := request(s); err != nil {
			t.Fatal(err)
		}
		if !s.isDisturbed() && s.other.Requests.Load() == 0 {
			return s
		}
	}
	t.Fatal("the machine in use is passed over each time")
	return nil
}

// isDisturbed reports whether a machine was passed over.
func (s *site) isDisturbed() bool { return len(s.lines("a proxy machine is passed over")) > 0 }

// byNoRequest is for a site without a connection for requests.
func byNoRequest(*site) error { return nil }

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{process: startProcess(t), echo: machinetest.Target(t, machinetest.Echo)}
	var machines [2]*machinetest.Machine
	var gates [2]*machinetest.Gate
	for i := range machines {
		machines[i] = s.machine(t)
		gates[i] = machinetest.NewGate(t, s.config.Machines[i].Address)
		s.config.Machines[i].Address = gates[i].Address
	}
	s.mount(t)
	var err error
	if s.open, err = s.process.open(s.echo); err != nil {
		t.Fatal(err)
	}
	used := 0
	if machines[1].Requests.Load() > 0 {
		used = 1
	}
	s.used, s.other, s.gate = machines[used], machines[1-used], gates[used]
	return s
}

// plain requests a URL of plain HTTP.
func (s *site) plain() error {
	response, _, err := s.get("http://a.example/") //nolint:bodyclose // get has read it
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return err
}

// TestProgramFailover: a machine that hangs is passed over within a second, and later
// requests do not wait for it. Its tunnels go on when it answers again.
func TestProgramFailover(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]func(*site) error{
		"tunnels":    func(s *site) error { return s.exchange(s.echo) },
		"plain HTTP": func(s *site) error { return s.plain() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startSite(t, request) // so that it has a connection
			took := func() time.Duration {
				start := time.Now()
				if err := request(s); err != nil {
					t.Error(err)
				}
				return time.Since(start)
			}
			const wait = 900 * time.Millisecond // a request that waits for the machine takes a second
			s.gate.Shut()
			if first := took(); first < wait {
				t.Errorf("the first request took %s, want a second", first)
			}
			later := make([]time.Duration, 50)
			for i := range later {
				later[i] = took()
			}
			slices.Sort(later) // on a busy machine, some take long for another reason
			if half := later[len(later)/2]; half >= wait {
				t.Errorf("half of the requests took %s and more while the machine is passed over", half)
			}
			passed := s.awaitLines(t, "a proxy machine is passed over", 1)
			address := s.gate.Address.String()
			if passed[0]["machine"] != address {
				t.Errorf("logged %v", passed)
			}
			if got := s.state(t); !strings.Contains(got, address+`":"the machine did not answer`) {
				t.Errorf("the state is %s", got)
			}
			if got, want := s.metric(t, names.MetricSidecarMachineUsable+`{machine="`+address+`"}`), " 0"; !strings.HasSuffix(got, want) {
				t.Errorf("the metric is %s", got)
			}
			s.gate.Open()
			if err := s.open.echo(); err != nil {
				t.Errorf("the tunnel of before: %v", err)
			}
			if got := s.awaitLines(t, "a proxy machine answers again", 1); got[0]["machine"] != address {
				t.Errorf("logged %v", got)
			}
			if got := s.lines("a proxy machine is passed over"); len(got) != 1 {
				t.Errorf("logged %v", got)
			}
		})
	}
}

// TestProgramWithoutSquid: requests go to the other machine while Squid does not run on
// the first one. One that may not reach its target twice gets the machine's answer.
func TestProgramWithoutSquid(t *testing.T) {
	t.Parallel()
	s := startSite(t, byNoRequest)
	s.used.WithoutSquid.Store(true)
	if err := s.plain(); err != nil {
		t.Errorf("plain HTTP: %v", err)
	}
	if err := s.exchange(s.echo); err != nil {
		t.Errorf("a tunnel: %v", err)
	}
	if got := s.other.Requests.Load(); got != 2 {
		t.Errorf("the other machine got %d requests, want 2", got)
	}
	if status, err := s.post("http://a.example/", "body"); err != nil || status != http.StatusServiceUnavailable && !s.isDisturbed() {
		t.Errorf("POST: %d, %v", status, err)
	}
}

// TestProgramPost: a request with a body goes to the other machine if the first one cannot
// be connected to, with its body.
func TestProgramPost(t *testing.T) {
	t.Parallel()
	s := startSite(t, byNoRequest)
	s.gate.Shut() // there is no connection for plain HTTP yet
	if status, err := s.post("http://a.example/", "body"); err != nil || status != http.StatusOK {
		t.Errorf("%d, %v", status, err)
	}
	if got := s.other.Requests.Load(); got != 1 {
		t.Errorf("the other machine got %d requests, want 1", got)
	}
}
