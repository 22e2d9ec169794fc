package lock_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"egress.scw/hack/local/lock"
)

func TestTake(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	for range 2 { // the second time, the file exists
		release, err := lock.Take(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lock.Take(file); !errors.Is(err, unix.EWOULDBLOCK) {
			t.Errorf("taken a second time: %v", err)
		}
		release()
	}
}

// One at a time has the lock, and all others get it later.
func TestWait(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	var holders atomic.Int32
	var group errgroup.Group
	for range 20 {
		group.Go(func() error {
			release, err := lock.Wait(file)
			if err != nil {
				return err
			}
			defer release()
			defer holders.Add(-1)
			if n := holders.Add(1); n != 1 {
				return fmt.Errorf("%d have the lock", n)
			}
			time.Sleep(time.Millisecond) // without the lock, others would come meanwhile
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}
