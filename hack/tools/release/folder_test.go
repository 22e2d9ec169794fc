package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func writeOne(content string) func(string) error {
	return func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "file"), []byte(content), 0o600)
	}
}

func TestFolderIsCompleteOrAbsent(t *testing.T) {
	parent := t.TempDir()
	folder := filepath.Join(parent, "0.1.0")
	broken := errors.New("broken")
	if err := writeFolder(folder, func(dir string) error {
		return errors.Join(writeOne("half")(dir), broken)
	}); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	requireEntries(t, parent, ".lock")

	// The remains of a run that was killed.
	remains := filepath.Join(parent, temporaryFolder)
	if err := os.Mkdir(remains, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := writeOne("half")(remains); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second run finds the same content
		if err := writeFolder(folder, writeOne("whole")); err != nil {
			t.Fatal(err)
		}
		requireEntries(t, parent, ".lock", "0.1.0")
		requireEntries(t, folder, checksumFile, "file")
	}
	sums, err := os.ReadFile(filepath.Join(folder, checksumFile))
	if err != nil {
		t.Fatal(err)
	}
	if want := "5d5766cf2d78701614200418ee1450690d9af12c84d52545e4802f001ad53099  file\n"; string(sums) != want {
		t.Errorf("checksums: got %q, want %q", sums, want)
	}

	if err := writeFolder(folder, writeOne("other")); err == nil || !strings.Contains(err.Error(), "differs from this build") {
		t.Errorf("got %v for other content of the same version", err)
	}
	content, err := os.ReadFile(filepath.Join(folder, "file"))
	if err != nil || string(content) != "whole" {
		t.Errorf("the release changed: %q, %v", content, err)
	}
	requireEntries(t, parent, ".lock", "0.1.0")
}

// A folder whose files are not those of its own checksums is no release that is complete.
func TestDamagedFolder(t *testing.T) {
	for name, damage := range map[string]func(folder string) error{
		"a file with other content": func(folder string) error { return writeOne("other")(folder) },
		"a file that is missing":    func(folder string) error { return os.Remove(filepath.Join(folder, "file")) },
		"a file too many":           func(folder string) error { return os.WriteFile(filepath.Join(folder, "more"), nil, 0o600) },
		"no checksums":              func(folder string) error { return os.Remove(filepath.Join(folder, checksumFile)) },
	} {
		folder := filepath.Join(t.TempDir(), "0.1.0")
		if err := writeFolder(folder, writeOne("whole")); err != nil {
			t.Fatal(err)
		}
		if err := damage(folder); err != nil {
			t.Fatal(err)
		}
		if err := writeFolder(folder, writeOne("whole")); err == nil || !strings.Contains(err.Error(), "differs from this build") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func requireEntries(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("%s: -want +got\n%s", dir, diff)
	}
}
