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

// varies stands, in messages, for the variable parts.
const varies = "…"

// verb is a formatting verb of fmt, or of Helm's printf.
var verb = regexp.MustCompile(`%(\[\d+\])?[+#-]?\d*[a-zA-Z]`)

// messages returns every string in the Go code below the folder, except tests,
// with its variable parts replaced.
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
		if err == nil && isSource(file) {
			files = append(files, parse(t, file))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// packageFiles returns the Go files in a folder, without those of its subfolders and
// without tests.
func packageFiles(t *testing.T, folder string) []*ast.File {
	t.Helper()
	names, err := fs.Glob(repository(t), folder+"/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if isSource(name) {
			files = append(files, parse(t, name))
		}
	}
	return files
}

func isSource(file string) bool {
	return path.Ext(file) == ".go" && !strings.HasSuffix(file, "_test.go")
}

func parse(t *testing.T, file string) *ast.File {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, read(t, file), parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// isString reports whether the expression is a string literal, or a sum that
// contains one.
func isString(expression ast.Expr) bool {
	switch e := expression.(type) {
	case *ast.BasicLit:
		return e.Kind == token.STRING
	case *ast.BinaryExpr:
		return e.Op == token.ADD && (isString(e.X) || isString(e.Y))
	}
	return false
}

// text returns the value of such an expression.
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

// Every message that the documentation explains is a message of a program, word
// for word, except for the variable parts.
func TestMessages(t *testing.T) {
	known := append(messages(t, "webhook"), messages(t, "hack")...)
	for _, file := range []string{"charts/egress-webhook/templates/egresstenants.yaml", "hack/scripts/deps.sh"} {
		known = append(known, verb.ReplaceAllString(read(t, file), varies))
	}
	explained := 0
	for _, p := range documentation(t) {
		for _, message := range p.column(t, "Message") {
			explained++
			// At the ends, it stands for any text before or after.
			core := strings.Trim(message, varies+" ")
			if !slices.ContainsFunc(known, func(s string) bool { return strings.Contains(s, core) }) {
				t.Errorf("%s: no program has the message %q", p.path, message)
			}
		}
	}
	if explained == 0 {
		t.Error("no message is explained: the test searches in the wrong way")
	}
}
