package api_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDependencies compares the packages that the light packages of the API link,
// the standard library aside, with the lists in their folders. A program that wants a name, or to decide
// about a request, must not link Kubernetes for it: a new dependency is a
// decision, which the list shows to the reviewer.
func TestDependencies(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"names", "noproxy", "policy", "proxystatus", "sidecar"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := dependencies(t, "./"+name)
			for _, path := range got {
				if strings.HasPrefix(path, "k8s.io/") || strings.HasPrefix(path, "sigs.k8s.io/") {
					t.Errorf("%s must not depend on %s", name, path)
				}
			}
			file := filepath.Join(name, "deps.txt")
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.Fields(string(text)); !slices.Equal(got, want) {
				t.Errorf("%s is out of date; in webhook/api run\n\tgo list -deps -f '%s' ./%s | LC_ALL=C sort > %s\nadded: %q\nremoved: %q",
					file, format, name, file, without(got, want), without(want, got))
			}
		})
	}
}

// format leaves out the standard library, whose packages change with each
// version of Go.
const format = "{{if not .Standard}}{{.ImportPath}}{{end}}"

func dependencies(t *testing.T, pattern string) []string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", format, pattern)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	paths := strings.Fields(string(output))
	slices.Sort(paths)
	return paths
}

// without returns the items of one list that are not in the other.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(item string) bool { return slices.Contains(other, item) })
}
