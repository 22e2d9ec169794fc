package machine

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

const cgroupRoot = "/sys/fs/cgroup"

// cgroupFolders are the machine's cgroups: one with version 2, with version 1
// one in each hierarchy that systemd-nspawn gives the machine a part of. In
// them are all of the machine's processes, and nobody else's.
func cgroupFolders(name string) []string {
	name = "egress-machine-" + name
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		return []string{filepath.Join(cgroupRoot, name)}
	}
	var folders []string
	for _, hierarchy := range []string{"systemd", "unified", "memory", "cpuacct"} {
		if _, err := os.Stat(filepath.Join(cgroupRoot, hierarchy)); err == nil {
			folders = append(folders, filepath.Join(cgroupRoot, hierarchy, name))
		}
	}
	return folders
}

func makeCgroups(name string) ([]string, error) {
	folders := cgroupFolders(name)
	for _, folder := range folders {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
	}
	return folders, nil
}

// removeCgroups kills what is left in the machine's cgroups and removes them.
func removeCgroups(ctx context.Context, name string) error {
	for _, folder := range cgroupFolders(name) {
		deadline := time.Now().Add(10 * time.Second)
		for {
			err := emptyAndRemove(folder)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("removing the cgroup %s: %w", folder, err)
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

// emptyAndRemove removes a cgroup and those below it. Processes that were just
// killed keep theirs busy for a moment: that is an error.
func emptyAndRemove(root string) error {
	var folders []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			folders = append(folders, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
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
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
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
