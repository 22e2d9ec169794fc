package squid

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/golden"
	"sigs.k8s.io/yaml"

	"egress.scw/webhook/api/v1alpha1"
)

// renderCase is a file testdata/NAME.yaml: the arguments of Render. Its result is
// compared with testdata/NAME.golden.conf.
type renderCase struct {
	Proxy   Config
	Tenants []v1alpha1.Tenant
}

func TestRenderGolden(t *testing.T) {
	cases := casesIn(t)
	for _, file := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			given := readCase(t, file)
			got, err := Render(given.Proxy, given.Tenants)
			if err != nil {
				t.Fatal(err)
			}
			golden.Assert(t, string(got), filepath.Base(goldenOf(file)))
			slices.Reverse(given.Tenants)
			again, err := Render(given.Proxy, given.Tenants)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again, got) {
				t.Error("the order of the tenants changes the file")
			}
		})
	}

	goldens, err := filepath.Glob("testdata/*.golden.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, stale := range goldens {
		if !slices.ContainsFunc(cases, func(file string) bool { return goldenOf(file) == stale }) {
			t.Errorf("%s is stale: there is no case of this name", stale)
		}
	}
}

// TestSquidAcceptsGoldens asks the real Squid about every golden file.
func TestSquidAcceptsGoldens(t *testing.T) {
	binary := squidBinary(t)
	for _, file := range casesIn(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			parse(t, binary, goldenOf(file))
		})
	}
}

func casesIn(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no cases in testdata")
	}
	return files
}

func goldenOf(file string) string {
	return strings.TrimSuffix(file, ".yaml") + ".golden.conf"
}

func readCase(t *testing.T, file string) renderCase {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var result renderCase
	if err := yaml.UnmarshalStrict(text, &result); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return result
}
