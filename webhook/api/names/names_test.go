package names

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// constants returns the string constants of this package by name.
func constants(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			if constants, ok := declaration.(*ast.GenDecl); ok && constants.Tok == token.CONST {
				addStrings(t, values, constants)
			}
		}
	}
	return values
}

func addStrings(t *testing.T, values map[string]string, constants *ast.GenDecl) {
	t.Helper()
	for _, each := range constants.Specs {
		spec, ok := each.(*ast.ValueSpec)
		if !ok {
			continue
		}
		for i, value := range spec.Values {
			if literal, ok := value.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				text, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				values[spec.Names[i].Name] = text
			}
		}
	}
}

// TestNamesHaveOneForm: names of a kind are spelled alike, and no name is spelled
// by two constants of a kind.
func TestNamesHaveOneForm(t *testing.T) {
	t.Parallel()
	forms := map[string]*regexp.Regexp{
		"Label":      regexp.MustCompile(`^egress\.scw/[a-z-]+$`),
		"Annotation": regexp.MustCompile(`^egress\.scw/[a-z-]+$`),
		"Metric":     regexp.MustCompile(`^egress_(webhook|bootstrap|proxy|sidecar)(_[a-z]+)+$`),
		"Reason":     regexp.MustCompile(`^([A-Z][a-z]*)+$`),
		"Condition":  regexp.MustCompile(`^([A-Z][a-z]*)+$`),
		"Header":     regexp.MustCompile(`^X-Egress(-[A-Z][a-z]+)+$`),
	}
	all := constants(t)
	for kind, form := range forms {
		seen := map[string]bool{}
		for name, value := range all {
			if !strings.HasPrefix(name, kind) {
				continue
			}
			if !form.MatchString(value) {
				t.Errorf("%s is %q, which does not match %s", name, value, form)
			}
			if seen[value] {
				t.Errorf("%q is spelled by two constants", value)
			}
			seen[value] = true
		}
		if len(seen) == 0 {
			t.Errorf("there is no constant %s…", kind)
		}
	}
}

// TestReasonsAreComplete: Reasons returns every constant, under its own name.
func TestReasonsAreComplete(t *testing.T) {
	t.Parallel()
	var want []Reason
	for name, value := range constants(t) {
		if suffix, ok := strings.CutPrefix(name, "Reason"); ok {
			want = append(want, Reason(value))
			if suffix != value {
				t.Errorf("%s is %q", name, value)
			}
		}
	}
	slices.Sort(want)
	if got := Reasons(); !slices.Equal(got, want) {
		t.Errorf("Reasons() is %q, want %q", got, want)
	}
}

// TestInjectionStatusIsStable: the annotation is on pods that live longer than the
// webhook that wrote it.
func TestInjectionStatusIsStable(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(InjectionStatus{Tenant: "client-a", Hash: "0123456789abcdef", Values: "fedcba9876543210", Version: "v1"})
	if want := `{"tenant":"client-a","hash":"0123456789abcdef","values":"fedcba9876543210","version":"v1"}`; err != nil || string(got) != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
}

// TestPortsDoNotOverlap: no other port of the machine is in the range of tenants.
func TestPortsDoNotOverlap(t *testing.T) {
	t.Parallel()
	ports := []int{StatusPort, TenantMetricsPort, MachineMetricsPort, SquidMetricsPort, SidecarPort}
	for i, port := range ports {
		if port >= TenantPortMin && port <= TenantPortMax || slices.Contains(ports[:i], port) {
			t.Errorf("port %d is taken twice", port)
		}
	}
	// Squid listens on at most 128 ports (MAXTCPLISTENPORTS), one of which is
	// StatusPort.
	if got := TenantPortMax - TenantPortMin + 1; got != 127 {
		t.Errorf("there are ports for %d tenants, want 127", got)
	}
}
