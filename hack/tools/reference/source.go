package main

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// module is the import path of the product's module.
const module = "egress.scw"

// repository is a checkout. It parses each package once.
type repository struct {
	root     string
	packages map[string]*source
}

// source is a parsed package.
type source struct {
	dir     string
	doc     *doc.Package
	imports map[string]string // path by the name in the files
}

// parse parses the package in a folder of the checkout.
func (r *repository) parse(dir string) (*source, error) {
	if parsed := r.packages[dir]; parsed != nil {
		return parsed, nil
	}
	files := token.NewFileSet()
	names, err := filepath.Glob(filepath.Join(r.root, dir, "*.go"))
	if err != nil {
		return nil, err
	}
	s := &source{dir: dir, imports: map[string]string{}}
	var parsed []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, file)
		for _, spec := range file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return nil, err
			}
			name := path[strings.LastIndex(path, "/")+1:]
			if spec.Name != nil {
				name = spec.Name.Name
			}
			s.imports[name] = path
		}
	}
	if len(parsed) == 0 {
		return nil, fmt.Errorf("%s has no Go files: %w", dir, fs.ErrNotExist)
	}
	s.doc, err = doc.NewFromFiles(files, parsed, module+"/"+dir, doc.PreserveAST|doc.AllDecls)
	if err != nil {
		return nil, err
	}
	if r.packages == nil {
		r.packages = map[string]*source{}
	}
	r.packages[dir] = s
	return s, nil
}

// constant is a constant with a string as its value.
type constant struct {
	name, value, text string
}

// constants returns the constants of a package whose names begin with a prefix,
// in the order of the files, grouped as they are declared.
func (s *source) constants(prefix string) []constantGroup {
	var groups []constantGroup
	add := func(values []*doc.Value) {
		for _, value := range values {
			if group := newGroup(value, prefix); len(group.constants) > 0 {
				groups = append(groups, group)
			}
		}
	}
	add(s.doc.Consts)
	for _, t := range s.doc.Types {
		add(t.Consts)
	}
	return groups
}

// constantGroup is one declaration of constants.
type constantGroup struct {
	text      string
	constants []constant
}

func newGroup(value *doc.Value, prefix string) constantGroup {
	group := constantGroup{text: sentence(value.Doc)}
	for _, spec := range value.Decl.Specs {
		spec, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}
		for i, name := range spec.Names {
			if i >= len(spec.Values) || !strings.HasPrefix(name.Name, prefix) {
				continue
			}
			literal, ok := spec.Values[i].(*ast.BasicLit)
			if !ok {
				continue
			}
			text := spec.Doc.Text()
			if text == "" {
				text = spec.Comment.Text()
			}
			content := literal.Value
			if unquoted, err := strconv.Unquote(content); err == nil {
				content = unquoted
			}
			group.constants = append(group.constants, constant{name.Name, content, sentence(text)})
		}
	}
	return group
}

// resolve replaces the names of the package's constants in a text by their
// values, such as "TenantMetricsPort" by "port 3903".
func (s *source) resolve(text string) string {
	for _, group := range s.constants("") {
		for _, c := range group.constants {
			value := code(c.value)
			if strings.HasSuffix(c.name, "Port") {
				value = "port " + c.value
			}
			text = regexp.MustCompile(`\b`+c.name+`\b`).ReplaceAllLiteralString(text, value)
		}
	}
	return text
}
