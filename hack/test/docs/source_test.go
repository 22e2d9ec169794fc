package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// varies stands, in messages, for what differs from case to case.
const varies = "…"

// verb is one of fmt's, or of Helm's printf.
var verb = regexp.MustCompile(`%(\[\d+\])?[+#-]?\d*[a-zA-Z]`)

// messages returns every string that the Go code below the folder can say,
// with what varies in it replaced; tests do not count.
func messages(t *testing.T, folder string) []string {
	t.Helper()
	var found []string
	for _, file := range goFiles(t, folder) {
		ast.Inspect(file, func(node ast.Node) bool {
			expression, isExpression := node.(ast.Expr)
			if !isExpression || !isString(expression) {
				return true
			}
			found = append(found, verb.ReplaceAllString(text(expression), varies))
			return false
		})
	}
	return found
}

func goFiles(t *testing.T, folder string) []*ast.File {
	t.Helper()
	var files []*ast.File
	err := fs.WalkDir(repository(t), folder, func(file string, _ fs.DirEntry, err error) error {
		if err != nil || path.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, read(t, file), parser.SkipObjectResolution)
		files = append(files, parsed)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// isString says whether the expression is a literal, or a sum that holds one.
func isString(expression ast.Expr) bool {
	switch e := expression.(type) {
	case *ast.BasicLit:
		return e.Kind == token.STRING
	case *ast.BinaryExpr:
		return e.Op == token.ADD && (isString(e.X) || isString(e.Y))
	}
	return false
}

// text returns what such an expression says.
func text(expression ast.Expr) string {
	switch e := expression.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil {
			return s
		}
	case *ast.BinaryExpr:
		return text(e.X) + text(e.Y)
	}
	return varies
}

// Every message that the documentation explains is said by some program: word
// for word, but for what varies.
func TestMessages(t *testing.T) {
	said := append(messages(t, "webhook"), messages(t, "hack")...)
	for _, file := range []string{"charts/egress-webhook/templates/egresstenants.yaml", "hack/scripts/deps.sh"} {
		said = append(said, verb.ReplaceAllString(read(t, file), varies))
	}
	explained := 0
	for _, p := range documentation(t) {
		for _, message := range p.column(t, "Message") {
			explained++
			// At the ends, it stands for whatever comes before or behind.
			core := strings.Trim(message, varies+" ")
			if !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, core) }) {
				t.Errorf("%s: nothing says %q", p.path, message)
			}
		}
	}
	if explained == 0 {
		t.Error("no message is explained: the test looks for the wrong thing")
	}
}
