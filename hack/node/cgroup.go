package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// cgroup is the subtree that all pods of the node live in.
const cgroup = "egress-local"

const cgroupRoot = "/sys/fs/cgroup"

// cgroupDirs returns the subtree's folder, one a hierarchy: one in all with
// version 2, one a controller with version 1.
func cgroupDirs() (dirs []string, unified bool, err error) {
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		return []string{filepath.Join(cgroupRoot, cgroup)}, true, nil
	}
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		return nil, false, err
	}
	for _, entry := range entries {
		// Some are links to combined ones (cpu -> cpu,cpuacct).
		if entry.IsDir() {
			dirs = append(dirs, filepath.Join(cgroupRoot, entry.Name(), cgroup))
		}
	}
	return dirs, false, nil
}

func makeCgroups() error {
	dirs, unified, err := cgroupDirs()
	if err != nil {
		return err
	}
	if unified {
		if err := enableControllers(); err != nil {
			return err
		}
	}
	for _, dir := range dirs {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		// Version 1 gives a new cpuset neither processors nor memory.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if content, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file)); err == nil && !unified {
				if err := os.WriteFile(filepath.Join(dir, file), content, 0); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// enableControllers has the root of version 2 hand on the controllers that
// kubelet needs. systemd usually has; one that was missing stays handed on.
func enableControllers() error {
	file := filepath.Join(cgroupRoot, "cgroup.subtree_control")
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	enabled := strings.Fields(string(content))
	for _, controller := range []string{"cpu", "cpuset", "memory", "pids", "io"} {
		if slices.Contains(enabled, controller) {
			continue
		}
		if err := os.WriteFile(file, []byte("+"+controller), 0); err != nil {
			return fmt.Errorf("enabling the cgroup controller %s: %w", controller, err)
		}
	}
	return nil
}

// removeCgroups removes the subtree, the deepest folders first. Processes that
// were just killed keep theirs busy for a moment.
func removeCgroups(ctx context.Context) error {
	dirs, _, err := cgroupDirs()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		deadline := time.Now().Add(10 * time.Second)
		for {
			err := removeTree(dir)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return err
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

func removeTree(root string) error {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case entry.IsDir():
			dirs = append(dirs, path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(dirs, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	for _, dir := range dirs {
		if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing %s: %w", dir, err)
		}
	}
	return nil
}
