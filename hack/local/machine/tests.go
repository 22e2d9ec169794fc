package machine

import (
	"context"
	"errors"
	"fmt"

	"egress.scw/hack/local/lock"
	"egress.scw/hack/local/network"
	"egress.scw/hack/local/process"
)

// Names of the tests' machines. One test at a time has them (LockTests).
const (
	TestName       = "test"
	TestSecondName = "test-2"
)

// testLock is the lock of the test that has the machines. The file is not
// removed.
const testLock = "/run/egress-machine-test.lock"

// LockTests reserves the machines of the tests, and the networks around them
// (network.TestPrefix), until it is unlocked or the program ends. It is an
// error if another test has them.
func LockTests() (unlock func(), err error) {
	unlock, err = lock.Take(testLock)
	if err != nil {
		return nil, fmt.Errorf("another test of the proxy's machine is running: %w", err)
	}
	return unlock, nil
}

// RemoveTests removes the remains of killed tests: their machines, the processes
// and folders around them, and every network namespace of tests with the links in
// it. It needs root. It is an error if a test of the machine runs.
func RemoveTests(ctx context.Context) error {
	unlock, err := LockTests()
	if err != nil {
		return err
	}
	defer unlock()
	var errs []error
	// First the machines: they write into the folders.
	for _, name := range []string{TestName, TestSecondName} {
		errs = append(errs, cgroupOf(name).Remove(ctx), Config{Name: name}.removePropagation())
	}
	return errors.Join(append(errs, process.RemoveTemporary(ctx), network.RemoveTests(ctx))...)
}
