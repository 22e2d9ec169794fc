package machinetest

import (
	"os"
	"path/filepath"
	"testing"

	"egress.scw/webhook/api/sidecar"
)

// File returns config.json.
func File(t testing.TB, config *sidecar.Config) []byte {
	t.Helper()
	data, err := sidecar.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Mount writes a version of a Secret into the folder of its volume, as kubelets do: in
// a folder of its own, to which the link ..data is moved. The former one is removed.
func Mount(t testing.TB, folder, version string, files map[string][]byte) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	former, _ := filepath.EvalSymlinks(filepath.Join(folder, "..data")) // empty at first
	dir := filepath.Join(folder, "..version-"+version)
	must(os.Mkdir(dir, 0o700))
	for name, content := range files {
		must(os.WriteFile(filepath.Join(dir, name), content, 0o600))
		link := filepath.Join(folder, name)
		if _, err := os.Lstat(link); err != nil {
			must(os.Symlink(filepath.Join("..data", name), link))
		}
	}
	next := filepath.Join(folder, "..data_tmp")
	must(os.Symlink(filepath.Base(dir), next))
	must(os.Rename(next, filepath.Join(folder, "..data")))
	if former != "" {
		must(os.RemoveAll(former))
	}
}
