package proxy

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// client opens tunnels to one host, at a rate, and sends a request through each.
type client struct {
	host string
	// rate is the number of tunnels a second. At most those of two seconds are open or
	// waiting: a machine with other work gets as many tunnels as it can serve.
	rate int
	// patience bounds a tunnel.
	patience time.Duration
	// dial connects to a proxy. Clients that keep to one machine have its address,
	// others that of a program or Service in front of several machines.
	dial func(context.Context) (*connection, error)
}

// opening is the course of a tunnel.
type opening struct {
	begun time.Time
	// opened is the time of the proxy's answer. Zero: there was none, or an error.
	opened time.Time
	// origin is the source address that the target saw.
	origin string
	err    error
}

// firstTunnels is the number of tunnels that show that a client is served.
const firstTunnels = 10

// run opens tunnels until stop is called, after the first ones have succeeded. stop ends
// those of which the proxy's answer is older than a time, and waits for all others.
func (c client) run(t *testing.T) (stop func(end time.Time) []opening) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	var mu sync.Mutex
	var openings []opening
	open := map[*connection]time.Time{} // by the time of the answer
	waiting := make(chan struct{}, 2*c.rate)
	var all sync.WaitGroup
	one := func() {
		defer func() { <-waiting }()
		o := c.open(context.WithoutCancel(ctx), func(conn *connection, at time.Time) {
			mu.Lock()
			defer mu.Unlock()
			open[conn] = at
		})
		mu.Lock()
		defer mu.Unlock()
		openings = append(openings, o)
	}
	all.Go(func() {
		interval := time.Second / time.Duration(c.rate)
		for next := time.Now(); ctx.Err() == nil; next = next.Add(interval) {
			time.Sleep(time.Until(next))
			waiting <- struct{}{}
			all.Go(one)
		}
	})
	eventually(t, "tunnels to "+c.host, func() error {
		mu.Lock()
		defer mu.Unlock()
		succeeded := 0
		for _, o := range openings {
			if o.err == nil {
				succeeded++
			}
		}
		if succeeded < firstTunnels {
			return fmt.Errorf("%d of %d have succeeded", succeeded, len(openings))
		}
		return nil
	})
	return func(end time.Time) []opening {
		cancel()
		mu.Lock()
		for conn, at := range open {
			if at.Before(end) {
				conn.Close()
			}
		}
		mu.Unlock()
		all.Wait()
		return openings
	}
}

// open opens a tunnel, and reports it when the proxy has answered.
func (c client) open(ctx context.Context, opened func(*connection, time.Time)) (o opening) {
	o.begun = time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		o.err = err
		return o
	}
	defer conn.Close()
	_ = conn.SetDeadline(o.begun.Add(c.patience))
	target := c.host + ":80"
	got, err := conn.ask(http.MethodConnect, target, target)
	if err == nil && got.status != http.StatusOK {
		err = fmt.Errorf("CONNECT: status %d", got.status)
	}
	if err != nil {
		o.err = err
		return o
	}
	o.opened = time.Now()
	opened(conn, o.opened)
	got, o.err = conn.ask(http.MethodGet, "/ip", c.host)
	o.origin = got.origin
	if o.err == nil && got.status != http.StatusOK {
		o.err = fmt.Errorf("in the tunnel: status %d", got.status)
	}
	return o
}

// try opens one tunnel.
func (c client) try(ctx context.Context) opening {
	return c.open(ctx, func(*connection, time.Time) {})
}

// once opens a tunnel, which must not fail.
func (c client) once(t *testing.T) opening {
	t.Helper()
	o := c.try(t.Context())
	if o.err != nil {
		t.Fatalf("a tunnel to %s: %v", c.host, o.err)
	}
	return o
}

// outcome counts openings around the end of a machine.
type outcome struct {
	all    int
	cut    int            // with an answer of before the end of the machine
	failed []opening      // all others that failed
	origin map[string]int // by the address that the target saw
	// slowest is the longest time until the proxy's answer.
	slowest time.Duration
	// took is the time from the first one's begin to the last one's.
	took time.Duration
}

// count counts openings. Tunnels with an answer of before the end of a machine may have
// ended with it. With the time zero, no machine has ended.
func count(openings []opening, end time.Time) outcome {
	result := outcome{all: len(openings), origin: map[string]int{}}
	var first, last time.Time
	for _, o := range openings {
		if first.IsZero() || o.begun.Before(first) {
			first = o.begun
		}
		if o.begun.After(last) {
			last = o.begun
		}
		switch {
		case o.err == nil:
			result.origin[o.origin]++
			result.slowest = max(result.slowest, o.opened.Sub(o.begun))
		case !o.opened.IsZero() && o.opened.Before(end):
			result.cut++
		default:
			result.failed = append(result.failed, o)
		}
	}
	result.took = last.Sub(first)
	return result
}

// String is for the log of the test.
func (o outcome) String() string {
	return fmt.Sprintf("%d tunnels, %.0f a second; %d cut, %d failed; by source address: %v; the slowest was opened after %s",
		o.all, float64(o.all)/o.took.Seconds(), o.cut, len(o.failed), o.origin, o.slowest.Round(time.Millisecond))
}
