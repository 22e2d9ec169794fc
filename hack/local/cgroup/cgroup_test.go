package cgroup_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"egress.scw/hack/local/cgroup"
)

// A group with a group below it, and a process in each, is removed in every
// hierarchy, and the processes are killed.
func TestRemoveKillsNestedProcesses(t *testing.T) {
	group := makeGroup(t)
	folders, err := group.Folders()
	if err != nil {
		t.Fatal(err)
	}
	if len(folders) == 0 {
		t.Fatal("the group has no folder")
	}
	outer, inner := sleeper(t), sleeper(t)
	for _, folder := range folders {
		join(t, folder, outer)
		below := filepath.Join(folder, "below")
		if err := os.Mkdir(below, 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(folder, "cpuset") {
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
				copyFile(t, filepath.Join(folder, file), filepath.Join(below, file))
			}
		}
		join(t, below, inner)
	}

	if err := group.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}

	for _, command := range []*exec.Cmd{outer, inner} {
		var exit *exec.ExitError
		if err := command.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
			t.Errorf("process %d was not killed: %v", command.Process.Pid, err)
		}
	}
	for _, folder := range folders {
		if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s still exists (%v)", folder, err)
		}
	}
}

// Make and Remove can be repeated.
func TestMakeAndRemoveAreRepeatable(t *testing.T) {
	group := makeGroup(t)
	if err := group.Make(); err != nil {
		t.Errorf("making an existing group: %v", err)
	}
	for range 2 {
		if err := group.Remove(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A group that names its hierarchies is made in these only.
func TestHierarchies(t *testing.T) {
	group := cgroup.Group{Name: "some", Hierarchies: []string{"memory", "not-mounted"}}
	folders, err := group.Folders()
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		if version1 := "/sys/fs/cgroup/memory/some"; folder != version1 && folder != "/sys/fs/cgroup/some" {
			t.Errorf("%s: want %s, or one folder with version 2", folder, version1)
		}
	}
}

// makeGroup makes a group of all hierarchies, and removes it after the test.
func makeGroup(t *testing.T) cgroup.Group {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root makes cgroups")
	}
	group := cgroup.Group{Name: fmt.Sprintf("egress-test-%d", os.Getpid())}
	if err := group.Make(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := group.Remove(context.Background()); err != nil { // the test's context has ended
			t.Error(err)
		}
	})
	return group
}

func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), "sleep", "1000")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return command
}

func join(t *testing.T, folder string, command *exec.Cmd) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, "cgroup.procs"), []byte(strconv.Itoa(command.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0); err != nil {
		t.Fatal(err)
	}
}
