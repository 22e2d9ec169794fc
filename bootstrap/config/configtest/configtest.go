// Package configtest provides the egress.yaml that the tests of bootstrap share.
package configtest

import (
	_ "embed"
	"slices"
	"strings"
	"testing"

	"egress.scw/bootstrap/config"
)

//go:embed egress.yaml
var example string

// Example returns the shared egress.yaml. It has one resource of each kind, and
// two of those kinds that allow several.
func Example() string { return example }

// Load returns the shared egress.yaml after replacements, decoded and validated.
func Load(t testing.TB, oldnew ...string) *config.Egress {
	t.Helper()
	return Decode(t, Replace(t, example, oldnew...))
}

// Replace replaces parts of a text. Each pair of oldnew is a string that must
// occur, and its replacement.
func Replace(t testing.TB, text string, oldnew ...string) string {
	t.Helper()
	for pair := range slices.Chunk(oldnew, 2) {
		if !strings.Contains(text, pair[0]) {
			t.Fatalf("egress.yaml does not contain %q", pair[0])
		}
		text = strings.Replace(text, pair[0], pair[1], 1)
	}
	return text
}

// Decode decodes and validates an egress.yaml.
func Decode(t testing.TB, text string) *config.Egress {
	t.Helper()
	egress, err := config.Load("egress.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return egress
}
