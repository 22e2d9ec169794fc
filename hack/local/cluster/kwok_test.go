package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The error about a module that cannot be downloaded has Go's reason.
func TestModuleThatCannotBeDownloaded(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.test\n\ngo 1.26\n\nrequire example.test/none v1.0.0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := moduleDir(t.Context(), dir, "example.test/none"); err == nil || !strings.Contains(err.Error(), "GOPROXY=off") {
		t.Errorf("got %q, %v; want that the proxy is off", got, err)
	}
}
