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

	"egress.scw/hack/local/cgroup"
)

// podCgroup is the subtree that all pods of the node live in.
const podCgroup = "egress-local"

// cgroupDirs returns the subtree's folder, one a hierarchy: one in all with
// version 2, one a controller with version 1.
func cgroupDirs() (dirs []string, unified bool, err error) {
	if cgroup.Unified() {
		return []string{filepath.Join(cgroup.Root, podCgroup)}, true, nil
	}
	entries, err := os.ReadDir(cgroup.Root)
	if err != nil {
		return nil, false, err
	}
	for _, entry := range entries {
		// Some are links to combined ones (cpu -> cpu,cpuacct).
		if entry.IsDir() {
			dirs = append(dirs, filepath.Join(cgroup.Root, entry.Name(), podCgroup))
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
	file := filepath.Join(cgroup.Root, "cgroup.subtree_control")
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

// removeCgroups removes the subtree with all that is in it.
func removeCgroups(ctx context.Context) error {
	dirs, _, err := cgroupDirs()
	if err != nil {
		return err
	}
	return cgroup.Remove(ctx, dirs...)
}
