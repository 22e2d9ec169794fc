package noproxy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestIsBareName(t *testing.T) {
	t.Parallel()
	for label, want := range map[string]bool{
		"backend": true, "web1": true, "1web": true, "payments": true, "postgres-rw": true,
		"app": false, "com": false, "shop": false, "pg": false, // top-level domains
		"rg": false, "mail": false, "m": false, // ends of org, email, com
		"1": false, "42": false, "0x7f": false,
	} {
		if got := IsBareName(label); got != want {
			t.Errorf("%s: %t, want %t", label, got, want)
		}
	}
}

// TestTopLevelDomains: toplevel.txt has the top-level domains of the list that the
// module publicsuffix was generated from, which is in its tests.
func TestTopLevelDomains(t *testing.T) {
	t.Parallel()
	command := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", "golang.org/x/net/publicsuffix")
	command.Stderr = os.Stderr
	dir, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	domains := topLevel(t, filepath.Join(strings.TrimSpace(string(dir)), "table_test.go"))
	if len(domains) < 1000 {
		t.Fatalf("%d top-level domains: the test reads the wrong list", len(domains))
	}
	if want := strings.Join(domains, "\n") + "\n"; topLevelDomains != want {
		file := filepath.Join(t.TempDir(), "toplevel.txt")
		if os.Getenv("UPDATE_TOPLEVEL") != "" {
			file = "toplevel.txt"
		}
		if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Error("toplevel.txt is not that of the module's version: run this test again with UPDATE_TOPLEVEL=1")
	}
}

// topLevel returns the last labels of the rules in the variable "rules" of a file.
func topLevel(t *testing.T, name string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var domains []string
	for _, declaration := range file.Decls {
		ast.Inspect(declaration, func(node ast.Node) bool {
			spec, isSpec := node.(*ast.ValueSpec)
			if !isSpec || spec.Names[0].Name != "rules" {
				return true
			}
			for _, element := range spec.Values[0].(*ast.CompositeLit).Elts {
				rule, err := strconv.Unquote(element.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				domains = append(domains, rule[strings.LastIndexAny(rule, ".!*")+1:])
			}
			return false
		})
	}
	slices.Sort(domains)
	return slices.Compact(domains)
}
