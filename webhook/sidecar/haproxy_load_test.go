package main

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"egress.scw/webhook/sidecar/internal/machinetest"
)

// maxWaiting is the number of exchanges that may go on at the same time. A machine with
// other work gets as many as it can serve.
const maxWaiting = loadRate / 4

// load makes loadRate exchanges a second for some time, with an event in it. The event
// returns its time: tunnels that were begun before may fail once they are open. load
// returns the other errors by the time of their start after the beginning of the event.
func (p *pod) load(t *testing.T, echo string, event func() time.Time) (count int, failed map[time.Duration]error) {
	t.Helper()
	const (
		before = time.Second
		after  = 5 * time.Second
	)
	type failure struct {
		begun, opened time.Time
		err           error
	}
	var failures []failure
	var began, happened time.Time // the event
	waiting := make(chan struct{}, maxWaiting)
	var mu sync.Mutex
	var all sync.WaitGroup
	ticker := time.NewTicker(time.Second / loadRate)
	defer ticker.Stop()
	start := time.Now()
	for began.IsZero() || time.Since(began) <= after {
		now := <-ticker.C
		if now.Sub(start) > before && began.IsZero() {
			began = now
			all.Go(func() { happened = event() })
		}
		waiting <- struct{}{}
		count++
		all.Go(func() {
			defer func() { <-waiting }()
			begun := time.Now()
			if opened, err := p.exchange(echo); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failures = append(failures, failure{begun, opened, err})
			}
		})
	}
	all.Wait()
	failed = map[time.Duration]error{}
	for _, f := range failures {
		// Not by the time at which a tunnel was open: a client that had to wait for a core
		// sees it later than the machine.
		if f.opened.IsZero() || f.begun.After(happened) {
			failed[f.begun.Sub(began)] = f.err
		}
	}
	return count, failed
}

// TestHAProxyEndsUnderLoad: of two machines, the one in use is killed, or hangs. At
// most 1 % of new connections fail, and none after 2 s.
func TestHAProxyEndsUnderLoad(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "hangs": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			authority := machinetest.NewAuthority(t)
			one, two := startHAProxy(t, authority), startHAProxy(t, authority)
			p := startPod(t, authority, one.Machine, two.Machine)
			echo := machinetest.Target(t, machinetest.Echo)
			count, failed := p.load(t, echo, func() time.Time {
				used := one
				if two.requests.Load() > 0 {
					used = two
				}
				_ = used.process.Process.Signal(signal)
				return time.Now()
			})
			t.Logf("%d of %d connections failed: %v", len(failed), count, failed)
			if len(failed)*100 > count {
				t.Error("more than 1 %")
			}
			for since, err := range failed {
				if since > 2*time.Second {
					t.Errorf("%s after it: %v", since, err)
				}
			}
			if one.requests.Load() == 0 || two.requests.Load() == 0 {
				t.Error("a machine got no request")
			}
		})
	}
}

// TestHAProxyRotation: certificates are exchanged, and HAProxy is reloaded, without a
// failed connection.
func TestHAProxyRotation(t *testing.T) {
	for name, event := range map[string]func(*testing.T, *pod, *haproxy){
		"certificates": func(t *testing.T, p *pod, _ *haproxy) { p.rotate(t) },
		"reload":       func(t *testing.T, _ *pod, h *haproxy) { h.reload(t) },
	} {
		t.Run(name, func(t *testing.T) {
			authority := machinetest.NewAuthority(t)
			h := startHAProxy(t, authority)
			p := startPod(t, authority, h.Machine)
			echo := machinetest.Target(t, machinetest.Echo)
			connection, reader, err := p.tunnel(echo)
			if err != nil {
				t.Fatal(err)
			}
			count, failed := p.load(t, echo, func() (none time.Time) {
				for range 5 {
					event(t, p, h)
					time.Sleep(500 * time.Millisecond)
				}
				return none
			})
			t.Logf("%d of %d connections failed", len(failed), count)
			if len(failed) > 0 {
				t.Error(failed)
			}
			fmt.Fprint(connection, "x")
			if _, err := reader.ReadByte(); err != nil {
				t.Errorf("the tunnel of before: %v", err)
			}
		})
	}
}
