package programs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An edit that does not fit the source any more is an error that names file and
// text, and leaves the file as it is.
func TestEditThatDoesNotApply(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		fits    bool
	}{
		"once":  {"a\nbgp.Cell,\nb\n", true},
		"never": {"a\nb\n", false},
		"twice": {"bgp.Cell,\nbgp.Cell,\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "cells.go")
			if err := os.WriteFile(file, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			err := edit{"cells.go", "bgp.Cell,\n", "withoutBGP,\n"}.apply(dir)
			got, readErr := os.ReadFile(file)
			if readErr != nil {
				t.Fatal(readErr)
			}
			switch {
			case test.fits && (err != nil || string(got) != "a\nwithoutBGP,\nb\n"):
				t.Errorf("%q, %v", got, err)
			case !test.fits && (err == nil || !strings.Contains(err.Error(), "cells.go") || !strings.Contains(err.Error(), "bgp.Cell")):
				t.Errorf("error %v; want one that names file and text", err)
			case !test.fits && string(got) != test.content:
				t.Errorf("the file was changed to %q", got)
			}
		})
	}
}
