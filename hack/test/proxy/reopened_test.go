package proxy

import (
	"context"
	"errors"
	"fmt"
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
	var total, refused, slow atomic.Int64
	open.Go(func() {
		for ticker := time.NewTicker(10 * time.Millisecond); ctx.Err() == nil; <-ticker.C {
			open.Go(func() {
				began := time.Now()
				conn, err := dial(context.WithoutCancel(ctx), netnsNode, address)
				total.Add(1)
				switch {
				case err == nil:
					conn.Close()
				case errors.Is(err, syscall.ECONNREFUSED):
					refused.Add(1)
				default:
					t.Errorf("a connection to port %d: %v", port, err)
				}
				if time.Since(began) > 500*time.Millisecond {
					slow.Add(1)
				}
			})
		}
	})
	return func() {
		t.Helper()
		cancel()
		open.Wait()
		t.Logf("of %d connections, %d took more than half a second", total.Load(), slow.Load())
		if refused.Load() > 0 {
			t.Errorf("%d of %d connections were refused", refused.Load(), total.Load())
		}
	}
}
