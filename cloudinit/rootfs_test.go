package cloudinit

import (
	"io/fs"
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReadmeListsFiles: the table in the README lists every file of the folder, in
// order.
func TestReadmeListsFiles(t *testing.T) {
	readme, err := os.ReadFile("rootfs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed, files []string
	for _, match := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllSubmatch(readme, -1) {
		listed = append(listed, string(match[1]))
	}
	folder, err := fs.Sub(rootfs, rootFolder)
	if err != nil {
		t.Fatal(err)
	}
	if err := fs.WalkDir(folder, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files, listed); diff != "" {
		t.Errorf("-folder +README:\n%s", diff)
	}
}
