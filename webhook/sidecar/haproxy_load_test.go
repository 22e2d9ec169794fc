package main

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"egress.scw/webhook/sidecar/internal/machinetest"
)

// load makes loadRate exchanges a second for some time, with an event in it. The event
// returns the time up to which connections that were open may fail. load returns the other
// errors by the time of their start after the beginning of the event.
func (p *pod) load(t *testing.T, echo string, event func() time.Time) (count int, failed map[time.Duration]error) {
	t.Helper()
	const (
		before = time.Second
		after  = 5 * time.Second
	)
	type failure struct {
		since  time.Duration
		opened time.Time
		err    error
	}
	var failures []failure
	var excused time.Time
	var mu sync.Mutex
	var all sync.WaitGroup
	ticker := time.NewTicker(time.Second / loadRate)
	defer ticker.Stop()
	start := time.Now()
	happened := false
	for now := range ticker.C {
		since := now.Sub(start) - before
		if since > after {
			break
		}
		if since > 0 && !happened {
			happened = true
			all.Go(func() { excused = event() })
		}
		count++
		all.Go(func() {
			if opened, err := p.exchange(echo); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failures = append(failures, failure{since, opened, err})
			}
		})
	}
	all.Wait()
	failed = map[time.Duration]error{}
	for _, f := range failures {
		if f.opened.IsZero() || f.opened.After(excused) {
			failed[f.since] = f.err
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
