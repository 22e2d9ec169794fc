package docs_test

import (
	"go/ast"
	"regexp"
	"strings"
	"testing"
)

// Every command of kubectl egress in the documentation exists.
func TestPluginCommands(t *testing.T) {
	known := map[string]bool{"completion": true, "help": true} // cobra's
	for _, file := range packageFiles(t, "webhook/kubectl-egress") {
		ast.Inspect(file, func(node ast.Node) bool {
			field, isField := node.(*ast.KeyValueExpr)
			if !isField {
				return true
			}
			if name, isName := field.Key.(*ast.Ident); isName && name.Name == "Use" && isString(field.Value) {
				command, _, _ := strings.Cut(text(field.Value), " ")
				known[command] = true
			}
			return true
		})
	}
	named := regexp.MustCompile(`\bkubectl egress ([a-z]+)`)
	found := 0
	for _, p := range documentation(t) {
		for _, code := range p.code(t) {
			for _, match := range named.FindAllStringSubmatch(code, -1) {
				found++
				if !known[match[1]] {
					t.Errorf("%s: kubectl egress has no command %s", p.path, match[1])
				}
			}
		}
	}
	if found == 0 || !known["explain"] {
		t.Errorf("%d commands found in the documentation, and %v in the plugin: the test searches in the wrong way", found, known)
	}
}
