package main

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/sidecar/internal/machinetest"
)

// TestProgram: the sidecar answers before it has files, and serves tunnels and plain HTTP
// when it has them. Each refusal is one log line with the reason and the cure.
func TestProgram(t *testing.T) {
	t.Parallel()
	p := startProcess(t)
	echo := machinetest.Target(t, machinetest.Echo)
	if _, err := p.open(echo); err == nil || !strings.Contains(err.Error(), "503 Service Unavailable") || !strings.Contains(err.Error(), "config.json is missing") {
		t.Errorf("without files: %v", err)
	}
	if state := p.state(t); !strings.Contains(state, "tls.crt is missing") {
		t.Errorf("without files, the state is %s", state)
	}
	p.machine(t)
	p.mount(t)
	if err := p.exchange(echo); err != nil {
		t.Error(err)
	}
	if response, _, err := p.get("http://a.example/path"); err != nil || response.Header.Get("X-Url") != "http://a.example/path" || response.Header.Get("X-Protocol") != "HTTP/1.1" { //nolint:bodyclose // get has read it
		t.Errorf("plain HTTP: %v, %v", response, err)
	}
	if _, err := p.open(machinetest.DeniedTarget); err == nil || !strings.Contains(err.Error(), "403 Forbidden") {
		t.Errorf("a denied tunnel: %v", err)
	}
	if response, body, err := p.get("http://denied.example/"); err != nil || response.StatusCode != http.StatusForbidden || body != "denied" { //nolint:bodyclose // get has read it
		t.Errorf("a denied request: %v, %q, %v", response, body, err)
	}
	if response, _, err := p.get("http://unserved.example/"); err != nil || response.StatusCode != http.StatusServiceUnavailable { //nolint:bodyclose // get has read it
		t.Errorf("without Squid: %v, %v", response, err)
	}
	var got []string
	for _, l := range p.awaitLines(t, "a request was refused", 4) {
		got = append(got, l["target"].(string)+": "+l["reason"].(string))
		if cure, _ := l["cure"].(string); cure == "" {
			t.Errorf("%v has no cure", l)
		}
	}
	const denied = "the rules of the tenant do not permit the target"
	want := []string{
		echo + ": the sidecar has no usable files of the Secret egress-sidecar: config.json is missing; tls.crt is missing; tls.key is missing",
		machinetest.DeniedTarget + ": " + denied, "denied.example: " + denied,
		"unserved.example: the proxy does not run on any machine that answered",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("logged %q, want %q", got, want)
	}
	if state, want := p.state(t), `{"machines":{"`+p.config.Machines[0].Address.String()+`":"in use"}}`+"\n"; state != want {
		t.Errorf("the state is %s, want %s", state, want)
	}
	for _, want := range []string{
		names.MetricSidecarRequests + `{kind="tunnel",verdict="passed"} 1`, names.MetricSidecarTunnels + " 0",
		names.MetricSidecarSentBytes + " 1", names.MetricSidecarReceivedBytes + " 1", names.MetricSidecarConfigUsable + " 1",
	} {
		name, _, _ := strings.Cut(want, " ")
		if got := p.metric(t, name); got != want {
			t.Errorf("the metric is %q, want %q", got, want)
		}
	}
	p.stop(t)
	p.awaitEnd(t)
}

// TestProgramRotation: the tenant's certificate and the machine's are replaced while
// requests go on. None fails, and the open tunnel stays.
func TestProgramRotation(t *testing.T) {
	t.Parallel()
	p := startProcess(t)
	machine := p.machine(t)
	p.mount(t)
	echo := machinetest.Target(t, machinetest.Echo)
	open, err := p.open(echo)
	if err != nil {
		t.Fatal(err)
	}
	requests, stop := p.load(t, echo)
	former := p.config.Machines[0].Certificate
	next, use := machine.NewCertificate(t) // as that of a machine that was made anew
	p.config.Machines[0].Certificate = former + next
	p.mount(t)
	use()
	p.config.Machines[0].Certificate = next
	p.mount(t)
	p.mount(t)
	stop()
	if count := requests(); count < 100 {
		t.Errorf("%d requests are too few for the test", count)
	}
	if err := open.echo(); err != nil {
		t.Errorf("the tunnel of before: %v", err)
	}
}

// load makes tunnels and plain requests until the returned function stop. Each one that
// fails is an error of the test.
func (p *process) load(t *testing.T, echo string) (requests func() int, stop func()) {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	count := 0
	over := make(chan struct{})
	repeat := func(request func() error) {
		all.Go(func() {
			for {
				select {
				case <-over:
					return
				case <-time.After(10 * time.Millisecond):
				}
				err := request()
				mu.Lock()
				if count++; err != nil {
					t.Errorf("request %d: %v", count, err)
				}
				mu.Unlock()
			}
		})
	}
	for range 4 {
		repeat(func() error { return p.exchange(echo) })
	}
	repeat(func() error {
		response, _, err := p.get("http://a.example/") //nolint:bodyclose // get has read it
		if err == nil && response.StatusCode != http.StatusOK {
			t.Errorf("plain HTTP: %s", response.Status)
		}
		return err
	})
	return func() int { return count }, func() {
		close(over)
		all.Wait()
	}
}

// site is two machines behind gates. The sidecar uses one of them.
type site struct {
	*process
	echo        string
	used, other *machinetest.Machine
	gate        *machinetest.Gate // of the machine in use
	open        *tunnel           // through it
}

func startSite(t *testing.T) *site {
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
			s := startSite(t)
			if err := request(s); err != nil { // so that it has a connection
				t.Fatal(err)
			}
			took := func() time.Duration {
				start := time.Now()
				if err := request(s); err != nil {
					t.Error(err)
				}
				return time.Since(start)
			}
			s.gate.Shut()
			if first := took(); first < 900*time.Millisecond || first > 3*time.Second {
				t.Errorf("the first request took %s, want a second", first)
			}
			start := time.Now()
			for range 50 {
				took()
			}
			if each := time.Since(start) / 50; each > 100*time.Millisecond {
				t.Errorf("a request took %s while the machine is passed over", each)
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
	s := startSite(t)
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
	if status, err := s.post("http://a.example/", "body"); err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("POST: %d, %v", status, err)
	}
}

// TestProgramPost: a request with a body goes to the other machine if the first one cannot
// be connected to, with its body.
func TestProgramPost(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	s.gate.Shut() // there is no connection for plain HTTP yet
	if status, err := s.post("http://a.example/", "body"); err != nil || status != http.StatusOK {
		t.Errorf("%d, %v", status, err)
	}
	if got := s.other.Requests.Load(); got != 1 {
		t.Errorf("the other machine got %d requests, want 1", got)
	}
}

// TestProgramDrain: on SIGTERM the sidecar accepts no further connections, and ends when
// the last tunnel has.
func TestProgramDrain(t *testing.T) {
	t.Parallel()
	p := startProcess(t)
	p.machine(t)
	p.mount(t)
	open, err := p.open(machinetest.Target(t, machinetest.Echo))
	if err != nil {
		t.Fatal(err)
	}
	p.stop(t)
	waitFor(t, "no further connection is accepted", func() bool {
		connection, err := net.Dial("tcp", p.address) //nolint:noctx // loopback
		if err == nil {
			_ = connection.Close()
		}
		return err != nil
	})
	if err := open.echo(); err != nil {
		t.Errorf("the open tunnel: %v", err)
	}
	select {
	case err := <-p.ended:
		t.Fatalf("the sidecar did not wait for the tunnel: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	_ = open.Close()
	p.awaitEnd(t)
}
