package proxy

import (
	"context"
	"errors"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// away is a time without an accepted connection after which one may be refused: connections
// wait 5 s for Squid to open its ports again (hold_connections of the machine), and in the
// first two of these Squid may still accept some. A Squid that takes longer to read its file
// has too little CPU time.
const away = 3 * time.Second

// tried is a connection that was tried.
type tried struct {
	began, ended time.Time
	err          error
}

// attempts opens connections to a tenant's port, 100 a second, until stop is called. stop
// fails the test if the machine has refused any, unless Squid was away for long.
func attempts(t *testing.T, port int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	var open sync.WaitGroup
	var mutex sync.Mutex
	var all []tried
	open.Go(func() {
		for ticker := time.NewTicker(10 * time.Millisecond); ctx.Err() == nil; <-ticker.C {
			open.Go(func() {
				began := time.Now()
				conn, err := reach(context.WithoutCancel(ctx), port)
				if err == nil {
					conn.Close()
				}
				mutex.Lock()
				defer mutex.Unlock()
				all = append(all, tried{began, time.Now(), err})
			})
		}
	})
	return func() {
		t.Helper()
		cancel()
		open.Wait()
		checkTried(t, port, all)
	}
}

func checkTried(t *testing.T, port int, all []tried) {
	t.Helper()
	slices.SortFunc(all, func(a, b tried) int { return a.ended.Compare(b.ended) })
	var delays []time.Duration
	accepted := all[0].began // the time of the last one
	refused, late := 0, 0
	for _, one := range all {
		delays = append(delays, one.ended.Sub(one.began))
		switch {
		case one.err == nil:
			accepted = one.ended
		case !errors.Is(one.err, syscall.ECONNREFUSED):
			t.Errorf("a connection to port %d: %v", port, one.err)
		case one.ended.Sub(accepted) > away:
			late++
		default:
			refused++
		}
	}
	slices.Sort(delays)
	t.Logf("%d connections: 99 of 100 took at most %s, the slowest %s; %d were refused more than %s after the last accepted one", len(delays),
		delays[len(delays)*99/100].Round(time.Millisecond), delays[len(delays)-1].Round(time.Millisecond), late, away)
	if refused > 0 {
		t.Errorf("%d of %d connections were refused", refused, len(delays))
	}
}
