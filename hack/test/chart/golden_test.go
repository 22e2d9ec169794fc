package chart_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/golden"
)

const goldenSuffix = ".golden.yaml"

// Every testdata/X.yaml contains values. X.golden.yaml contains Helm's complete
// output for them: the manifest, and the notes as a comment at its end.
// go test ./test/chart -update rewrites the golden files.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	expected := map[string]bool{} // golden file: whether a case belongs to it
	for _, file := range files {
		if strings.HasSuffix(file, goldenSuffix) {
			expected[file] = expected[file] || false
			continue
		}
		want := strings.TrimSuffix(file, ".yaml") + goldenSuffix
		expected[want] = true
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			values, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			golden.Assert(t, text(mustInstall(t, string(values))), filepath.Base(want))
		})
	}
	if len(expected) == 0 {
		t.Fatal("testdata holds no case")
	}
	for file, belongs := range expected {
		if !belongs {
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
