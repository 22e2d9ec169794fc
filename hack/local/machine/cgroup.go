package machine

import (
	"os"
	"path/filepath"

	"egress.scw/hack/local/cgroup"
)

// cgroupFolders are the machine's cgroups: one with version 2, with version 1
// one in each hierarchy that systemd-nspawn gives the machine a part of. In
// them are all of the machine's processes, and nobody else's.
func cgroupFolders(name string) []string {
	name = "egress-machine-" + name
	if cgroup.Unified() {
		return []string{filepath.Join(cgroup.Root, name)}
	}
	var folders []string
	for _, hierarchy := range []string{"systemd", "unified", "memory", "cpuacct"} {
		if _, err := os.Stat(filepath.Join(cgroup.Root, hierarchy)); err == nil {
			folders = append(folders, filepath.Join(cgroup.Root, hierarchy, name))
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
