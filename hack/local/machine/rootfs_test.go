package machine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A folder that was not used for a day is removed, unless it is held.
func TestPrune(t *testing.T) {
	cache := t.TempDir()
	folder := func(name string, age time.Duration) RootFS {
		root := filepath.Join(cache, name, "root")
		if err := os.MkdirAll(root, 0o755); err != nil {
			t.Fatal(err)
		}
		makeOlder(t, filepath.Dir(root), age)
		return RootFS{Root: root}
	}
	folder("new", time.Hour)
	folder("old", 25*time.Hour)
	folder(temporary+"old", 25*time.Hour)
	held, used := folder("held", 25*time.Hour), folder("used", 25*time.Hour)
	for _, rootfs := range []RootFS{held, used} {
		if err := rootfs.Hold(); err != nil {
			t.Fatal(err)
		}
	}
	makeOlder(t, filepath.Dir(held.Root), 25*time.Hour) // it runs for that long

	if err := prune(cache); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, entry := range entries {
		left = append(left, entry.Name())
	}
	if diff := cmp.Diff([]string{"held", "new", "used"}, left); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if info, err := os.Stat(filepath.Dir(used.Root)); err != nil || time.Since(info.ModTime()) > time.Hour {
		t.Errorf("it counts as used at %v, %v; want now", info.ModTime(), err)
	}
}

// Two programs may find the same old folder, and one of them removes it.
func TestRemoveWhatAnotherProgramHasRemoved(t *testing.T) {
	if err := removeUnheld(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Error(err)
	}
}

func TestHoldMissingRootFS(t *testing.T) {
	rootfs := RootFS{Root: filepath.Join(t.TempDir(), "none", "root")}
	if err := rootfs.Hold(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want that it does not exist", err)
	}
}

func makeOlder(t *testing.T, path string, age time.Duration) {
	t.Helper()
	then := time.Now().Add(-age)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
}
