package stack

import (
	"go/ast"
	goparser "go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// declaredKinds returns the values of all constants of type Kind, from the source
// of the package.
func declaredKinds(t *testing.T) []Kind {
	t.Helper()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []Kind
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		parsed, err := goparser.ParseFile(token.NewFileSet(), file.Name(), nil, goparser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if name, ok := spec.Type.(*ast.Ident); !ok || name.Name != "Kind" || len(spec.Values) != 1 {
				return true
			}
			literal, ok := spec.Values[0].(*ast.BasicLit)
			if !ok {
				t.Fatalf("%s: the kind %s is not a literal", file.Name(), spec.Names[0])
			}
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			kinds = append(kinds, Kind(value))
			return true
		})
	}
	return kinds
}

// Each constant of type Kind has one row in the table, and the rows refer to each
// other only.
func TestEveryKindHasARow(t *testing.T) {
	t.Parallel()
	declared, listed := declaredKinds(t), Kinds()
	for _, kind := range declared {
		if !slices.Contains(listed, kind) {
			t.Errorf("%s is not in the table", kind)
		}
	}
	if len(declared) != len(listed) {
		t.Errorf("%d kinds are declared, and the table has %d rows", len(declared), len(listed))
	}
	for i, row := range kinds {
		if slices.Contains(listed[:i], row.kind) {
			t.Errorf("%s is in the table twice", row.kind)
		}
		for _, before := range row.deletedAfter {
			if !slices.Contains(listed, before) {
				t.Errorf("%s is deleted after %s, which is not in the table", row.kind, before)
			}
		}
		if (row.creating == "") != (row.created == "") {
			t.Errorf("%s has one of two words: %q, %q", row.kind, row.creating, row.created)
		}
	}
}

// A complete stack has resources of all kinds, in the order of the table. Each
// row's functions accept them.
func TestKindsOfACompleteStack(t *testing.T) {
	t.Parallel()
	graph, err := Desired(newSpec(t))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []Kind
	for _, r := range graph.Resources() {
		kinds = append(kinds, r.Key().Kind)
		if State(r) == "" {
			t.Errorf("%s has no state", r.Key())
		}
		if loss := r.Key().Kind.row().loss; loss != nil && loss(r) == "" {
			t.Errorf("the row of %s does not accept it", r.Key())
		}
		if row := r.Key().Kind.row(); row.server != nil && row.server(r) == nil {
			t.Errorf("%s is not a part of a server", r.Key())
		}
	}
	if got := slices.Compact(kinds); !slices.Equal(got, Kinds()) {
		t.Errorf("the kinds are\n%q, want\n%q", got, Kinds())
	}
}

// The resources of two machines have different keys and names. The names of public
// addresses and their attachments also have their uses.
func TestMachinesHaveTheirOwnKeys(t *testing.T) {
	t.Parallel()
	graph, err := Desired(newSpec(t, machines(2)))
	if err != nil {
		t.Fatal(err)
	}
	keys, names := map[Key]bool{}, map[string]string{}
	for _, r := range graph.Resources() {
		key := r.Key()
		if keys[key] {
			t.Errorf("two resources have the key %s", key)
		}
		keys[key] = true
		if key.Kind == KindFlexibleIP || key.Kind == KindAttachment {
			continue
		}
		machine, ok := strings.CutPrefix(r.Meta().Name, "egress-test-proxy")
		if before, named := names[key.Role]; ok && named && before != machine {
			t.Errorf("the role %s is in the names %q and %q", key.Role, before, machine)
		}
		names[key.Role] = machine
	}
	if len(graph.Proxies) != 2 || graph.Proxies[1].Server.Name != "egress-test-proxy-2" {
		t.Errorf("the machines are %+v", graph.Proxies)
	}
}

// The words of a step are those of its action, and those of its kind if it
// creates a resource.
func TestWordsAndLossesOfSteps(t *testing.T) {
	t.Parallel()
	address := &FlexibleIP{Role: RoleShared}
	for _, c := range []struct {
		step              Step
		doing, done, loss string
	}{
		{Step{Action: Create, Kind: KindGateway}, "creating", "created", ""},
		{Step{Action: Create, Kind: KindPower}, "starting", "started", ""},
		{Step{Action: Create, Kind: KindAttachment}, "attaching", "attached", ""},
		{Step{Action: Create, Kind: KindUserData}, "writing", "written", ""},
		{Step{Action: Update, Kind: KindUserData}, "changing", "changed", ""},
		{Step{Action: Update, Kind: KindServer}, "changing", "changed", ""},
		{
			Step{Action: Replace, Kind: KindServer},
			"recreating", "recreated",
			"its disk, and on it the audit log; tenants have no egress path until the new machine runs",
		},
		{Step{Action: Delete, Kind: KindServer}, "deleting", "deleted", "its disk, and on it the audit log"},
		{Step{Action: Delete, Kind: KindServer, replaced: true}, "deleting", "deleted", ""},
		{Step{Action: Delete, Kind: KindRegistry}, "deleting", "deleted", "its images"},
		{Step{Action: Delete, Kind: KindVPC}, "deleting", "deleted", ""},
		{
			Step{Action: Delete, Kind: KindFlexibleIP, resource: address},
			"deleting", "deleted",
			"the address invalid IP goes back to Scaleway, and cannot be recovered",
		},
	} {
		doing, done := c.step.Words()
		if loss := c.step.Loss(); doing != c.doing || done != c.done || loss != c.loss {
			t.Errorf("%s %s: %s, %s, %q; want %s, %s, %q", c.step.Action, c.step.Kind, doing, done, loss, c.doing, c.done, c.loss)
		}
	}
}
