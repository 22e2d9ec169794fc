package main

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"egress.scw/webhook/sidecar/internal/machinetest"
)

// TestProgramRotation: the tenant's certificate and the machine's are replaced while
// requests go on. None fails, and the open tunnel stays.
func TestProgramRotation(t *testing.T) {
	// Not in parallel: the tests beside it would take the time of its requests.
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
	waitFor(t, "100 requests", func() bool { return requests() >= 100 })
	stop()
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
	requests = func() int {
		mu.Lock()
		defer mu.Unlock()
		return count
	}
	return requests, func() {
		close(over)
		all.Wait()
	}
}
