// Package lock keeps two programs from doing at once what only one can do on a
// machine.
package lock

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Take takes the lock that a file stands for, without waiting: that another
// program has it is an error. It is released by the function that is returned,
// or when the program ends, however it does. The file stays.
func Take(file string) (release func(), err error) {
	handle, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(handle.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = handle.Close()
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return func() { _ = handle.Close() }, nil
}
