package process

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestRemoveSharedMemory(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"egresstest1x2-cf__metadata.shm", "egresstest1x2-cf__queues.shm", "squid-cf__queues.shm"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeSharedMemory(filepath.Join(folder, filepath.Base(sharedMemory))); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(folder, "*"))
	if want := filepath.Join(folder, "squid-cf__queues.shm"); err != nil || !slices.Equal(left, []string{want}) {
		t.Errorf("remaining: %q, %v; want %q", left, err, want)
	}
}
