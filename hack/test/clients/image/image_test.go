package image

import (
	"os"
	"path/filepath"
	"testing"
)

// The image is made again if a package or a program changes.
func TestRecipeHash(t *testing.T) {
	folder := func() string {
		t.Helper()
		folder := t.TempDir()
		for _, language := range append(languages, goModule) {
			if err := os.Mkdir(filepath.Join(folder, language), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		return folder
	}
	programs := folder()
	hash := func(packages ...string) string {
		t.Helper()
		hash, err := recipeHash(packages, programs)
		if err != nil {
			t.Fatal(err)
		}
		return hash
	}
	first := hash("curl")
	programs = folder()
	if again := hash("curl"); again != first {
		t.Errorf("the same recipe has the hashes %s and %s in two folders", first, again)
	}
	if hash("curl", "wget") == first {
		t.Error("a further package does not change the hash")
	}
	if err := os.WriteFile(filepath.Join(programs, "ruby", "clients.rb"), []byte("puts 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if hash("curl") == first {
		t.Error("a changed program does not change the hash")
	}
	second := hash("curl")
	if err := os.WriteFile(filepath.Join(programs, goModule, "go.mod"), []byte("module clients"), 0o600); err != nil {
		t.Fatal(err)
	}
	if hash("curl") == second {
		t.Error("a changed Go module does not change the hash")
	}
	if err := os.Remove(filepath.Join(programs, "java")); err != nil {
		t.Fatal(err)
	}
	if _, err := recipeHash(nil, programs); err == nil {
		t.Error("no error without the programs of a language")
	}
}
