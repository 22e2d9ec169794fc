package chart_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const goldenSuffix = ".golden.yaml"

// Every testdata/X.yaml holds values, X.golden.yaml all that Helm makes of
// them: the manifest, and the notes as a comment at its end.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	golden := map[string]bool{} // file: a case wants it
	for _, file := range files {
		if strings.HasSuffix(file, goldenSuffix) {
			golden[file] = golden[file] || false
			continue
		}
		want := strings.TrimSuffix(file, ".yaml") + goldenSuffix
		golden[want] = true
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			values, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, want, text(mustInstall(t, string(values))))
		})
	}
	if len(golden) == 0 {
		t.Fatal("testdata holds no case")
	}
	for file, wanted := range golden {
		if !wanted {
			t.Errorf("%s belongs to no case: remove it", file)
		}
	}
}

func text(r rendered) string {
	notes := strings.Split(strings.TrimRight(r.notes, "\n"), "\n")
	for i, line := range notes {
		notes[i] = strings.TrimRight("# "+line, " ")
	}
	return r.manifest + "---\n# NOTES.txt\n#\n" + strings.Join(notes, "\n") + "\n"
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (go test ./chart -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is out of date (go test ./chart -update rewrites it): -golden +rendered\n%s", file, diff)
	}
}
