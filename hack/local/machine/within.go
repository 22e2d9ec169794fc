package machine

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Within runs a function on a thread that is in a network namespace: sockets
// that it opens belong there, wherever they are used. Goroutines that it starts
// are elsewhere.
func Within(netns string, fn func() error) error { return within("/run/netns/"+netns, fn) }

// Within does the same for the network namespace of the machine itself, which
// is another one after each boot.
func (vm *VM) Within(fn func() error) error {
	return within(fmt.Sprintf("/proc/%d/ns/net", vm.init), fn)
}

func within(path string, fn func() error) error {
	result := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and nobody else
		// gets it.
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
