package cloudinit

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files anew")

const goldenSuffix = ".golden.yaml"

// TestRenderGolden: a file testdata/NAME.yaml is a Machine. Render must return the
// content of testdata/NAME.golden.yaml for it.
func TestRenderGolden(t *testing.T) {
	machines := casesIn(t)
	for name, machine := range machines {
		t.Run(name, func(t *testing.T) {
			got, err := Render(machine)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+goldenSuffix)
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v (go test -update writes it)", err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("differs from %s (go test -update writes it anew), -want +got:\n%s", golden, diff)
			}
			again, err := Render(machine)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again, got) {
				t.Error("rendering it again gives something else")
			}
		})
	}

	goldens, err := filepath.Glob("testdata/*" + goldenSuffix)
	if err != nil {
		t.Fatal(err)
	}
	for _, golden := range goldens {
		if _, ok := machines[strings.TrimSuffix(filepath.Base(golden), goldenSuffix)]; !ok {
			t.Errorf("%s is stale: there is no case of this name", golden)
		}
	}
}

// casesIn returns the VMs in testdata by the names of their files.
func casesIn(t *testing.T) map[string]Machine {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(file string) bool { return strings.HasSuffix(file, goldenSuffix) })
	if len(files) == 0 {
		t.Fatal("no cases in testdata")
	}
	result := map[string]Machine{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var machine Machine
		if err := yaml.UnmarshalStrict(text, &machine); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		result[strings.TrimSuffix(filepath.Base(file), ".yaml")] = machine
	}
	return result
}
