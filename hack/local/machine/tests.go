package machine

import (
	"context"
	"errors"
	"fmt"

	"egress.scw/hack/local/lock"
	"egress.scw/hack/local/network"
	"egress.scw/hack/local/process"
)

// TestName is how tests call their machine. There is one at a time (LockTests).
const TestName = "test"

// testLock is held by whoever has such a machine. It stays.
const testLock = "/run/egress-machine-test.lock"

// LockTests has the machine of tests, and the networks around it
// (network.TestPrefix), to itself until it is unlocked or the program ends. That
// another test has them is an error.
func LockTests() (unlock func(), err error) {
	unlock, err = lock.Take(testLock)
	if err != nil {
		return nil, fmt.Errorf("another test of the proxy's machine is running: %w", err)
	}
	return unlock, nil
}

// RemoveTests removes what tests left that were killed: their machine, the
// processes and folders around it, and every network namespace of tests with the
// links in it. It needs root. That a test of the machine runs is an error.
func RemoveTests(ctx context.Context) error {
	unlock, err := LockTests()
	if err != nil {
		return err
	}
	defer unlock()
	machine := Config{Name: TestName}
	return errors.Join(
		// First, as the machine writes into one of the folders.
		cgroupOf(TestName).Remove(ctx), machine.removePropagation(),
		process.RemoveTemporary(ctx),
		network.RemoveTests(ctx),
	)
}
