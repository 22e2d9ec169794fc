package machine

import (
	"fmt"

	"egress.scw/hack/lock"
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
