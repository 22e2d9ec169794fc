package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// within runs a command of this program in the network namespace of another
// process. Goroutines change threads, so the thread that has entered the
// namespace becomes the program anew.
func within(namespace string, command []string) error {
	runtime.LockOSThread()
	file, err := os.Open(namespace)
	if err != nil {
		return err
	}
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering %s: %w", namespace, err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, append([]string{self}, command...), os.Environ())
}

// list prints the names in a folder.
func list(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		fmt.Fprintln(os.Stdout, entry.Name())
	}
	return nil
}
