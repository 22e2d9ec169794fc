package lock_test

import (
	"errors"
	"path/filepath"
	"testing"

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
