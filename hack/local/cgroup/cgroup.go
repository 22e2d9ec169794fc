// Package cgroup finds and removes cgroups, of version 1 and of version 2.
package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Root is where Linux systems mount their cgroups: the one hierarchy of version
// 2, or the folder of all hierarchies of version 1.
const Root = "/sys/fs/cgroup"

// Unified says whether this machine has the one hierarchy of version 2.
func Unified() bool {
	_, err := os.Stat(filepath.Join(Root, "cgroup.controllers"))
	return err == nil
}

// removeTimeout is how long killed processes may keep their cgroup busy.
const removeTimeout = 10 * time.Second

// Remove kills what is left in these cgroups and in those below them, and
// removes them. Those that there are not are no error.
func Remove(ctx context.Context, folders ...string) error {
	var errs []error
	for _, folder := range folders {
		if err := remove(ctx, folder); err != nil {
			errs = append(errs, fmt.Errorf("removing the cgroup %s: %w", folder, err))
		}
	}
	return errors.Join(errs...)
}

func remove(ctx context.Context, folder string) error {
	for deadline := time.Now().Add(removeTimeout); ; {
		err := emptyAndRemove(folder)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// emptyAndRemove removes a cgroup and those below it. Processes that were just
// killed keep theirs busy for a moment: that is an error.
func emptyAndRemove(root string) error {
	var folders []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && entry.IsDir() {
			folders = append(folders, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, folder := range slices.Backward(folders) { // the walk goes downwards
		if err := killIn(folder); err != nil {
			return err
		}
		if err := syscall.Rmdir(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func killIn(folder string) error {
	content, err := os.ReadFile(filepath.Join(folder, "cgroup.procs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(content)) {
		// 0 is a process of another PID namespace, and kill(2) takes it for
		// one's own group.
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL) // gone in between: just what is wanted
		}
	}
	return nil
}
