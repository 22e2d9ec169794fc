package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// attempts opens connections to a tenant's port, 100 a second, until stop is called. stop
// fails the test if the machine has refused any.
func attempts(t *testing.T, port int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	address := fmt.Sprintf("%s:%d", proxyAddress, port)
	var open sync.WaitGroup
	var refused atomic.Int64
	var mutex sync.Mutex
	var delays []time.Duration
	open.Go(func() {
		for ticker := time.NewTicker(10 * time.Millisecond); ctx.Err() == nil; <-ticker.C {
			open.Go(func() {
				began := time.Now()
				// While Squid reads its file, which takes longer on a busy machine, SYNs get no
				// answer, and the kernel repeats them.
				conn, err := dialFor(context.WithoutCancel(ctx), time.Minute, netnsNode, address)
				delay := time.Since(began)
				switch {
				case err == nil:
					conn.Close()
				case errors.Is(err, syscall.ECONNREFUSED):
					refused.Add(1)
				default:
					t.Errorf("a connection to port %d: %v", port, err)
				}
				mutex.Lock()
				defer mutex.Unlock()
				delays = append(delays, delay)
			})
		}
	})
	return func() {
		t.Helper()
		cancel()
		open.Wait()
		slices.Sort(delays)
		t.Logf("%d connections: 99 of 100 took at most %s, the slowest %s", len(delays),
			delays[len(delays)*99/100].Round(time.Millisecond), delays[len(delays)-1].Round(time.Millisecond))
		if refused.Load() > 0 {
			t.Errorf("%d of %d connections were refused", refused.Load(), len(delays))
		}
	}
}
