package machine

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Within runs a function on a thread in a network namespace. Sockets that it
// opens belong to that namespace, wherever they are used. Goroutines that it
// starts do not run there.
func Within(netns string, fn func() error) error { return within("/run/netns/"+netns, fn) }

// Within does the same for the network namespace of the machine itself, which
// is a new one after each boot.
func (vm *VM) Within(fn func() error) error {
	return within(fmt.Sprintf("/proc/%d/ns/net", vm.init), fn)
}

func within(path string, fn func() error) error {
	result := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine and is not
		// reused.
		runtime.LockOSThread()
		result <- func() error {
			namespace, err := os.Open(path)
			if err != nil {
				return err
			}
			defer namespace.Close()
			if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("entering the network namespace %s: %w", path, err)
			}
			return fn()
		}()
	}()
	return <-result
}
