package machines_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"egress.scw/webhook/api/sidecar"
	"egress.scw/webhook/sidecar/internal/machinetest"
	"egress.scw/webhook/sidecar/machines"
	"egress.scw/webhook/sidecar/tunnel"
)

// site is machines of one authority, with a target behind them.
type site struct {
	authority *machinetest.Authority
	servers   []*machinetest.Machine
	config    sidecar.Config
	echo      string
	logs      *machinetest.Buffer
}

func newSite(t *testing.T, count int) *site {
	t.Helper()
	s := &site{authority: machinetest.NewAuthority(t), config: sidecar.Config{Tenant: "client-a"}, logs: new(machinetest.Buffer)}
	for range count {
		server, machine := machinetest.Start(t, s.authority)
		s.servers = append(s.servers, server)
		s.config.Machines = append(s.config.Machines, machine)
	}
	s.echo = machinetest.Target(t, machinetest.Echo)
	return s
}

func (s *site) set(t *testing.T) *machines.Set {
	t.Helper()
	set, err := machines.New(&s.config, s.authority.TenantPair(t, "client-a"), slog.New(slog.NewTextHandler(s.logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Drain)
	return set
}

// stop ends a machine as a crash of its programs does.
func (s *site) stop(i int) {
	_ = s.servers[i].Listener.Close()
	s.servers[i].CloseClientConnections()
}

func echoes(t *testing.T, stream io.ReadWriter) {
	t.Helper()
	if _, err := stream.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stream, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

// throughTheOther opens tunnels at two machines, of which the first one is stopped. On a busy
// machine, the other one may not answer within its second either: then two further ones are
// started.
func throughTheOther(t *testing.T) (*site, *machines.Set) {
	t.Helper()
	for range 10 {
		s := newSite(t, 2)
		set := s.set(t)
		s.stop(0)
		var err error
		for opened := 0; opened < 20 && err == nil; opened++ {
			var stream *tunnel.Stream
			if stream, err = set.Open(t.Context(), s.echo, http.Header{}); err == nil {
				echoes(t, stream)
				_ = stream.Close()
			}
		}
		if strings.Contains(s.logs.String(), "machine="+s.config.Machines[1].Address.String()) {
			continue // it is passed over
		}
		if err != nil {
			t.Fatal(err)
		}
		return s, set
	}
	t.Fatal("the machine that runs is passed over each time")
	return nil, nil
}

// TestStoppedMachine: requests go to the other machine, at first after one attempt,
// and then at once. It is logged once.
func TestStoppedMachine(t *testing.T) {
	t.Parallel()
	s, set := throughTheOther(t)
	// The pod's order decides whether the stopped machine was tried at all.
	s.stop(1)
	_, err := set.Open(t.Context(), s.echo, http.Header{})
	if err == nil {
		t.Fatal("a tunnel by no machine")
	}
	for _, m := range s.config.Machines {
		if !strings.Contains(err.Error(), m.Address.String()+": ") {
			t.Errorf("the error does not name %s: %v", m.Address, err)
		}
		if count := strings.Count(s.logs.String(), "is passed over\" machine="+m.Address.String()); count != 1 {
			t.Errorf("%s is passed over in %d lines, want 1", m.Address, count)
		}
	}
	for _, state := range set.States() {
		if state.Problem == "" {
			t.Errorf("%s has no problem", state.Address)
		}
	}
}

// TestBusyMachine: the only machine, and the last one that is in use, may take longer than
// a second for a sign of life: no other one would answer.
func TestBusyMachine(t *testing.T) {
	t.Parallel()
	for name, count := range map[string]int{"one machine": 1, "the other one is passed over": 2} {
		for _, connected := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, connected: %v", name, connected), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, count)
				gate := machinetest.NewGate(t, s.config.Machines[0].Address)
				s.config.Machines[0].Address = gate.Address
				set := s.set(t)
				if count > 1 {
					s.stop(1)
					_ = set.PassOver(s.config.Machines[1].Address.String(), errors.New("stopped"))
				}
				if connected {
					set.Connect()
				}
				gate.Shut()
				time.AfterFunc(1500*time.Millisecond, gate.Open)
				stream, err := set.Open(t.Context(), s.echo, nil)
				if err != nil {
					t.Fatal(err)
				}
				echoes(t, stream)
				if set.Patience(gate.Address.String()) <= set.Patience(s.config.Machines[count-1].Address.String()) && count > 1 {
					t.Error("a machine that is passed over has as much time")
				}
			})
		}
	}
}

// TestStalledConnection: a connection of the only machine that answers no more is replaced by
// another one, also for later tunnels. Its tunnels stay, and the machine is in use. On a busy
// machine, the other connection may not be made in its 5 s either: then the test starts again.
func TestStalledConnection(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(ctx context.Context, set *machines.Set, machine, echo string) error{
		"tunnel": func(ctx context.Context, set *machines.Set, _, echo string) error {
			stream, err := set.Open(ctx, echo, nil)
			if err == nil {
				echoes(t, stream)
				_ = stream.Close()
			}
			return err
		},
		"sign of life": func(ctx context.Context, set *machines.Set, machine, _ string) error {
			ctx, cancel := context.WithTimeout(ctx, 6*time.Second)
			defer cancel()
			return set.Alive(ctx, machine)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var err error
			for range 5 {
				err = askStalled(t, ask)
				if err == nil {
					return
				}
			}
			t.Error(err)
		})
	}
}

// askStalled asks a machine five times, whose connection stalls.
func askStalled(t *testing.T, ask func(ctx context.Context, set *machines.Set, machine, echo string) error) error {
	t.Helper()
	s := newSite(t, 1)
	gate := machinetest.NewGate(t, s.config.Machines[0].Address)
	s.config.Machines[0].Address = gate.Address
	set := s.set(t)
	first, err := set.Open(t.Context(), s.echo, nil)
	if err != nil {
		return err
	}
	echoes(t, first)
	before := gate.Count()
	gate.Stall()
	for range 5 {
		if err := ask(t.Context(), set, gate.Address.String(), s.echo); err != nil {
			return err
		}
	}
	if logs := s.logs.String(); strings.Contains(logs, "is passed over") {
		return fmt.Errorf("the machine is passed over: %s", logs)
	}
	if made := gate.Count() - before; made != 1 {
		return fmt.Errorf("%d further connections, want one", made)
	}
	gate.Open()
	echoes(t, first)
	return nil
}

// TestConnect: the first tunnel uses the connection that was made before it.
func TestConnect(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	set := s.set(t)
	set.Connect()
	if err := s.servers[0].Listener.Close(); err != nil {
		t.Fatal(err)
	}
	stream, err := set.Open(t.Context(), s.echo, http.Header{})
	if err != nil {
		t.Fatal(err)
	}
	echoes(t, stream)
}

// TestConnectPassesOver: machines that do not answer are known before the first tunnel.
func TestConnectPassesOver(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	set := s.set(t)
	s.stop(0)
	s.stop(1)
	set.Connect()
	for _, state := range set.States() {
		if state.Problem == "" {
			t.Errorf("%s has no problem", state.Address)
		}
	}
}

// TestMachineComesBack: a machine that answers again is used again.
func TestMachineComesBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	foreign, _ := machinetest.MachineCertificate(t)
	own := s.config.Machines[0].Certificate
	set := s.set(t)
	s.servers[0].CloseClientConnections()
	stream, err := set.Open(t.Context(), s.echo, http.Header{})
	if err != nil {
		t.Fatal(err)
	}
	echoes(t, stream)
	// Closed connections are replaced without a word.
	s.servers[0].CloseClientConnections()
	if stream, err = set.Open(t.Context(), s.echo, http.Header{}); err != nil {
		t.Fatal(err)
	}
	echoes(t, stream)
	if s.logs.String() != "" {
		t.Errorf("logged: %s", s.logs)
	}

	s.config.Machines[0].Certificate = string(foreign)
	if _, err := s.set(t).Open(t.Context(), s.echo, nil); err == nil || !strings.Contains(err.Error(), "has another certificate than config.json") {
		t.Errorf("a machine with another certificate: %v", err)
	}
	s.config.Machines[0].Certificate = string(foreign) + own
	if _, err := s.set(t).Open(t.Context(), s.echo, nil); err != nil {
		t.Errorf("while the certificate is exchanged: %v", err)
	}
}

// TestMachineWithoutSquid: another machine is asked. If there is none, the answer is
// HAProxy's.
func TestMachineWithoutSquid(t *testing.T) {
	t.Parallel()
	stream, err := newSite(t, 2).set(t).Open(t.Context(), machinetest.UnservedTarget, nil)
	if err != nil || stream.Status != http.StatusServiceUnavailable {
		t.Errorf("%v, %v", stream, err)
	}
}

// TestUnknownAuthority: the error has the cure.
func TestUnknownAuthority(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	s.authority = machinetest.NewAuthority(t)
	if _, err := s.set(t).Open(t.Context(), s.echo, nil); err == nil || !strings.Contains(err.Error(), "the machine refused the tenant's certificate") {
		t.Error(err)
	}
}

// TestDrainedSet: tunnels stay, and there are no further ones.
func TestDrainedSet(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	set := s.set(t)
	stream, err := set.Open(t.Context(), s.echo, nil)
	if err != nil {
		t.Fatal(err)
	}
	set.Drain()
	echoes(t, stream)
	if _, err := set.Open(t.Context(), s.echo, nil); !errors.Is(err, machines.ErrDrained) {
		t.Errorf("a further tunnel: %v", err)
	}
}

// TestManyTunnels: more tunnels than a connection permits are open at the same time.
func TestManyTunnels(t *testing.T) {
	t.Parallel()
	const (
		tunnels = 400 // net/http permits 250 streams of a connection
		openers = 8
	)
	s := newSite(t, 1)
	set := s.set(t)
	var all sync.WaitGroup
	for range openers {
		all.Go(func() {
			for range tunnels / openers {
				stream, err := set.Open(t.Context(), s.echo, nil)
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { _ = stream.Close() })
			}
		})
	}
	all.Wait()
}

// TestPassedOverMachineReturns: a second after it answers again.
func TestPassedOverMachineReturns(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	set := s.set(t)
	s.stop(0)
	if _, err := set.Open(t.Context(), s.echo, nil); err == nil {
		t.Fatal("a tunnel by a stopped machine")
	}
	s.servers[0].Restart(t)
	// The line comes after the state.
	const line = "a proxy machine answers again"
	for end := time.Now().Add(time.Minute); !strings.Contains(s.logs.String(), line) && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	if problem := set.States()[0].Problem; problem != "" || !strings.Contains(s.logs.String(), line) {
		t.Errorf("the problem is %q; logged: %s", problem, s.logs)
	}
	stream, err := set.Open(t.Context(), s.echo, nil)
	if err != nil {
		t.Fatal(err)
	}
	echoes(t, stream)
}
