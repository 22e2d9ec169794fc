// Package lock prevents two programs from doing work at the same time of which
// a machine admits only one.
package lock

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Take takes the lock on a file, without waiting: it is an error if another
// program has it. The returned function releases it, and so does every end of
// the program. The file is not removed.
func Take(file string) (release func(), err error) {
	return take(file, unix.LOCK_EX|unix.LOCK_NB)
}

// Wait takes the lock like Take, but waits while another program has it. It is for
// work of a moment.
func Wait(file string) (release func(), err error) {
	return take(file, unix.LOCK_EX)
}

func take(file string, how int) (release func(), err error) {
	handle, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); { // signals of the Go runtime
		err = unix.Flock(int(handle.Fd()), how)
	}
	if err != nil {
		_ = handle.Close()
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return func() { _ = handle.Close() }, nil
}
