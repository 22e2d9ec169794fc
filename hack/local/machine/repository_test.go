package machine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The error about a package that cannot be read has the reason.
func TestIndexOfABrokenPackage(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip(err)
	}
	folder := t.TempDir()
	name := filepath.Join(folder, "broken.deb")
	if err := os.WriteFile(name, []byte("no package"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := WriteIndex(t.Context(), folder)
	if err == nil || !strings.Contains(err.Error(), name+": exit status 2: ") || !strings.Contains(err.Error(), "dpkg-deb: error: ") {
		t.Errorf("got %v, want the package and the reason", err)
	}
}
