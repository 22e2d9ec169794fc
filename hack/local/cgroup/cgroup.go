// Package cgroup makes and removes the cgroups of the local environment, on
// machines with version 1, with version 2, and with both (hybrid).
package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// mountPoint is the folder of the single hierarchy of version 2, or the parent
// folder of the hierarchies of version 1.
const mountPoint = "/sys/fs/cgroup"

// unified is the hierarchy of version 2 on a hybrid machine.
const unified = "unified"

// Group is a cgroup of this machine: one folder with version 2, one folder in
// each of its hierarchies with version 1.
type Group struct {
	// Name is the cgroup's folder below the root of a hierarchy.
	Name string
	// Hierarchies are the hierarchies of version 1 that the group is made in, if
	// they are mounted. Empty: all. Version 2 has one hierarchy.
	Hierarchies []string
}

// hierarchies are the mounted hierarchies of a group. With version 2 alone,
// version2 is its only hierarchy; on a hybrid machine it is one of several.
type hierarchies struct {
	version1 []cgroup1.Subsystem
	version2 []string // mount points
}

func (g Group) hierarchies() (hierarchies, error) {
	mode := cgroups.Mode()
	if mode == cgroups.Unified {
		return hierarchies{version2: []string{mountPoint}}, nil
	}
	entries, err := os.ReadDir(mountPoint)
	if err != nil {
		return hierarchies{}, err
	}
	var found hierarchies
	for _, entry := range entries {
		name := entry.Name()
		switch {
		case len(g.Hierarchies) == 0 && !entry.IsDir():
			// A link to a combined hierarchy (cpu -> cpu,cpuacct).
		case len(g.Hierarchies) > 0 && !slices.Contains(g.Hierarchies, name):
		case name == unified && mode != cgroups.Hybrid:
		case name == unified:
			found.version2 = append(found.version2, filepath.Join(mountPoint, name))
		case name == string(cgroup1.Cpuset):
			// A new cpuset has neither processors nor memory. This type copies
			// its parent's.
			found.version1 = append(found.version1, cgroup1.NewCpuset(mountPoint))
		default:
			// Not the library's default hierarchies: it does not know all
			// controllers (misc), and the group limits no resources.
			found.version1 = append(found.version1, cgroup1.NewNamed(mountPoint, cgroup1.Name(name)))
		}
	}
	return found, nil
}

// Make makes the group's folders, unless they exist. With version 2 alone the
// root enables the controllers for its children: systemd usually has done so
// already, and an additional one stays enabled.
func (g Group) Make(controllers ...string) error {
	found, err := g.hierarchies()
	if err != nil {
		return err
	}
	if _, err := cgroup1.New(g.path(), &specs.LinuxResources{}, found.option()); err != nil {
		return fmt.Errorf("making the cgroup %s: %w", g.Name, err)
	}
	for _, mount := range found.version2 {
		manager, err := cgroup2.NewManager(mount, "/"+g.Name, &cgroup2.Resources{})
		if err == nil && mount == mountPoint && len(controllers) > 0 {
			err = manager.ToggleControllers(controllers, cgroup2.Enable)
		}
		if err != nil {
			return fmt.Errorf("making the cgroup %s in %s: %w", g.Name, mount, err)
		}
	}
	return nil
}

// Folders are the group's folders, one a hierarchy. A process joins the group by
// writing its PID into each folder's cgroup.procs.
func (g Group) Folders() ([]string, error) {
	found, err := g.hierarchies()
	if err != nil {
		return nil, err
	}
	var folders []string
	for _, hierarchy := range found.version1 {
		folders = append(folders, filepath.Join(mountPoint, string(hierarchy.Name()), g.Name))
	}
	for _, mount := range found.version2 {
		folders = append(folders, filepath.Join(mount, g.Name))
	}
	return folders, nil
}

// removeTimeout bounds the time for which killed processes keep their cgroup
// busy.
const removeTimeout = time.Minute

// Remove kills the processes in the group and in the groups below it, and
// removes them all. It is not an error if the group does not exist.
func (g Group) Remove(ctx context.Context) error {
	found, err := g.hierarchies()
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(removeTimeout); ; {
		errs := []error{g.removeVersion1(found)}
		for _, mount := range found.version2 {
			errs = append(errs, g.removeVersion2(mount))
		}
		err := errors.Join(errs...)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("removing the cgroup %s: %w", g.Name, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// removeVersion1 kills and removes the group in the hierarchies of version 1.
// Processes that were just killed keep it busy for a moment: that is an error.
func (g Group) removeVersion1(found hierarchies) error {
	group, err := cgroup1.Load(g.path(), found.option())
	if errors.Is(err, cgroup1.ErrCgroupDeleted) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, hierarchy := range group.Subsystems() {
		processes, err := group.Processes(hierarchy.Name(), true)
		if err != nil {
			return err
		}
		for _, p := range processes {
			// 0 is a process of another PID namespace. kill(2) takes it for the
			// caller's own process group.
			if p.Pid > 1 {
				_ = syscall.Kill(p.Pid, syscall.SIGKILL) // it may have ended by itself
			}
		}
	}
	if err := group.Delete(); err != nil {
		return err
	}
	// Delete skips a hierarchy in which a cgroup disappears while it reads it.
	if _, err := cgroup1.Load(g.path(), found.option()); !errors.Is(err, cgroup1.ErrCgroupDeleted) {
		return errors.Join(errors.New("some of its folders still exist"), err)
	}
	return nil
}

// removeVersion2 kills and removes the group in a hierarchy of version 2.
func (g Group) removeVersion2(mount string) error {
	if _, err := os.Stat(filepath.Join(mount, g.Name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	manager, err := cgroup2.Load("/"+g.Name, cgroup2.WithMountpoint(mount))
	if err != nil {
		return err
	}
	if processes, err := manager.Procs(true); err != nil || len(processes) > 0 {
		if err := errors.Join(err, manager.Kill()); err != nil {
			return err
		}
	}
	return manager.Delete()
}

func (g Group) path() cgroup1.Path { return cgroup1.StaticPath("/" + g.Name) }

func (h hierarchies) option() cgroup1.InitOpts {
	return cgroup1.WithHierarchy(func() ([]cgroup1.Subsystem, error) { return h.version1, nil })
}
