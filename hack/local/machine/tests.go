package machine

import (
	"context"
	"errors"
	"fmt"

	"egress.scw/hack/local/lock"
	"egress.scw/hack/local/network"
	"egress.scw/hack/local/process"
)

// TestName is the name of the tests' machine. There is one at a time
// (LockTests).
const TestName = "test"

// testLock is the lock of the test that has the machine. The file is not
// removed.
const testLock = "/run/egress-machine-test.lock"

// LockTests reserves the machine of the tests, and the networks around it
// (network.TestPrefix), until it is unlocked or the program ends. It is an
// error if another test has them.
func LockTests() (unlock func(), err error) {
	unlock, err = lock.Take(testLock)
	if err != nil {
		return nil, fmt.Errorf("another test of the proxy's machine is running: %w", err)
	}
	return unlock, nil
}

// RemoveTests removes the remains of killed tests: their machine, the processes
// and folders around it, and every network namespace of tests with the links in
// it. It needs root. It is an error if a test of the machine runs.
func RemoveTests(ctx context.Context) error {
	unlock, err := LockTests()
	if err != nil {
		return err
	}
	defer unlock()
	machine := Config{Name: TestName}
	return errors.Join(
		// First the machine: it writes into one of the folders.
		cgroupOf(TestName).Remove(ctx), machine.removePropagation(),
		process.RemoveTemporary(ctx),
		network.RemoveTests(ctx),
	)
}
