package docs_test

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every make target in the documentation exists, and the README lists every
// target.
func TestMakeTargets(t *testing.T) {
	var targets []string
	for _, match := range regexp.MustCompile(`(?m)^([a-z-]+):[^#\n]*## `).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		targets = append(targets, match[1])
	}
	if len(targets) == 0 {
		t.Fatal("the Makefile describes no targets")
	}
	named := regexp.MustCompile(`\bmake ([a-z-]+)`)
	for _, p := range documentation(t) {
		for _, code := range p.code(t) {
			for _, match := range named.FindAllStringSubmatch(code, -1) {
				if !slices.Contains(targets, match[1]) {
					t.Errorf("%s: the Makefile has no target %s", p.path, match[1])
				}
			}
		}
	}
	readme := page{"README.md", read(t, "README.md")}
	listed := readme.column(t, "Command")
	for _, target := range targets {
		if !slices.Contains(listed, "make "+target) {
			t.Errorf("README.md does not list make %s", target)
		}
	}
}

// Variables passed to make in examples are read by the Makefile.
func TestMakeVariables(t *testing.T) {
	makefile := read(t, "Makefile")
	found := 0
	for _, p := range documentation(t) {
		for _, code := range append(p.spans(t), p.commands(t)) {
			for _, name := range makeVariables(code) {
				found++
				if !strings.Contains(makefile, "$("+name+")") {
					t.Errorf("%s: the Makefile does not read %s", p.path, name)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no variable found: the test searches in the wrong way")
	}
}

// makeVariables returns the names of all variables that commands of make get.
func makeVariables(code string) []string {
	var names []string
	for _, arguments := range regexp.MustCompile(`\bmake((?: +[\w./=:-]+)+)`).FindAllStringSubmatch(strings.ReplaceAll(code, "\\\n", " "), -1) {
		for _, match := range regexp.MustCompile(` ([A-Z_]+)=`).FindAllStringSubmatch(arguments[1], -1) {
			names = append(names, match[1])
		}
	}
	return names
}

func TestAllVariablesOfACommandAreFound(t *testing.T) {
	const code = "make release OUTPUT=dist \\\n  REGISTRY=rg.example.com/x\nOTHER=1 make A=b test\necho C=d\n"
	if got, want := makeVariables(code), []string{"OUTPUT", "REGISTRY", "A"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

var link = regexp.MustCompile(`\]\(([^()\s]+)\)`)

// Every link within the repository leads to a file, and to a heading in it.
func TestLinks(t *testing.T) {
	for _, p := range documentation(t) {
		_, prose := p.blocks(t)
		for _, match := range link.FindAllStringSubmatch(prose, -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			target, anchor, _ := strings.Cut(match[1], "#")
			file := p.path
			if target != "" {
				file = path.Join(path.Dir(p.path), target)
			}
			switch {
			case !exists(t, file):
				t.Errorf("%s: the link %s leads nowhere", p.path, match[1])
			case anchor != "" && !slices.Contains(anchors(t, file), anchor):
				t.Errorf("%s: %s has no heading for the link %s", p.path, file, match[1])
			}
		}
	}
}

// anchors returns the anchors of a page's headings, as GitHub and others derive
// them.
func anchors(t *testing.T, file string) []string {
	t.Helper()
	_, prose := page{file, read(t, file)}.blocks(t)
	var names []string
	for _, match := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(prose, -1) {
		name := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(match[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}

// Every page can be found from the README.
func TestEveryPageIsLinked(t *testing.T) {
	linked := map[string]bool{"README.md": true}
	for _, p := range documentation(t) {
		for _, match := range link.FindAllStringSubmatch(p.text, -1) {
			target, _, _ := strings.Cut(match[1], "#")
			linked[path.Join(path.Dir(p.path), target)] = true
		}
	}
	for _, p := range documentation(t) {
		if !linked[p.path] {
			t.Errorf("no page links to %s", p.path)
		}
	}
}

// Every test named in the documentation exists.
func TestTests(t *testing.T) {
	functions := map[string]bool{}
	for _, folder := range []string{"webhook", "bootstrap", "cloudinit", "demo", "hack"} {
		err := fs.WalkDir(repository(t), folder, func(file string, _ fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(file, "_test.go") {
				for _, match := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(read(t, file), -1) {
					functions[match[1]] = true
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range documentation(t) {
		for _, name := range p.spans(t) {
			if strings.HasPrefix(name, "Test") && !functions[name] {
				t.Errorf("%s: there is no test %s", p.path, name)
			}
		}
	}
}

// made are paths that commands create: binaries, and the files of a release.
var made = regexp.MustCompile(`^(bin/.*|dist/.*|.*(NAME|VERSION|\d+\.\d+\.\d+).*)$`)

// Every path in the documentation exists, from the repository or from the page's
// folder. A path begins with a folder of the repository, or ends in the name of a
// source file.
func TestPaths(t *testing.T) {
	folders, err := fs.ReadDir(repository(t), ".")
	if err != nil {
		t.Fatal(err)
	}
	word := regexp.MustCompile(`^[\w.-]+(/[\w.-]+)*/?$`)
	found := 0
	for _, p := range documentation(t) {
		for _, code := range p.code(t) {
			for file := range strings.FieldsSeq(code) {
				if !word.MatchString(file) || strings.HasSuffix(file, ".scw") {
					continue
				}
				first, _, nested := strings.Cut(file, "/")
				isFolder := slices.ContainsFunc(folders, func(entry fs.DirEntry) bool { return entry.IsDir() && entry.Name() == first })
				isSource := slices.Contains([]string{".go", ".sh", ".md", ".mod", ".conf", ".tmpl"}, path.Ext(file))
				if !nested || !isFolder && !isSource {
					continue
				}
				found++
				if !made.MatchString(file) && !exists(t, path.Clean(file)) && !exists(t, path.Join(path.Dir(p.path), file)) {
					t.Errorf("%s: there is no %s", p.path, file)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no path found: the test searches in the wrong way")
	}
}
