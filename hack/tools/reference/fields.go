package main

import (
	"go/ast"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// field is a field of a configuration file.
type field struct {
	path, kind, text string
}

// fields lists the fields of a struct type, and of the structs within it, by
// their paths in YAML.
func (r *repository) fields(dir, typeName string) ([]field, error) {
	return r.structFields(dir, typeName, "", nil)
}

func (r *repository) structFields(dir, typeName, prefix string, parents []string) ([]field, error) {
	self := dir + "." + typeName
	if slices.Contains(parents, self) {
		return nil, nil
	}
	parents = append(slices.Clone(parents), self)
	s, err := r.parse(dir)
	if err != nil {
		return nil, err
	}
	structure := s.structType(typeName)
	if structure == nil {
		return nil, nil
	}
	var all []field
	for _, f := range structure.Fields.List {
		name, inline := yamlName(f)
		if name == "-" {
			continue
		}
		t := r.describe(s, f.Type)
		path := prefix + name
		if !inline {
			text := sentence(f.Doc.Text())
			if len(f.Names) > 0 {
				text = withoutName(text, f.Names[0].Name, name)
			}
			if values := r.values(t); values != "" {
				text += " " + values
			}
			if text != "" || t.kind != "object" {
				all = append(all, field{path + t.suffix, t.kind, text})
			}
			path += t.suffix + "."
		}
		if t.name == "" {
			continue
		}
		inner, err := r.structFields(t.dir, t.name, strings.TrimPrefix(path, "."), parents)
		if err != nil {
			return nil, err
		}
		all = append(all, inner...)
	}
	return all, nil
}

// yamlName is the name of a field in YAML. Fields of an inlined struct belong to
// the outer one.
func yamlName(f *ast.Field) (name string, inline bool) {
	var tag reflect.StructTag
	if f.Tag != nil {
		if text, err := strconv.Unquote(f.Tag.Value); err == nil {
			tag = reflect.StructTag(text)
		}
	}
	value := tag.Get("json")
	if value == "" {
		value = tag.Get("yaml")
	}
	name, options, _ := strings.Cut(value, ",")
	switch {
	case strings.Contains(options, "inline"), name == "" && len(f.Names) == 0:
		return "", true
	case name == "" && len(f.Names) > 0:
		return "-", false
	}
	return name, false
}

// typeOf describes the type of a field.
type typeOf struct {
	kind   string // for people
	suffix string // of the path: [] for a list, .NAME for a map
	// dir and name are of the type of the product that the field has or lists;
	// "" for others.
	dir, name string
}

func (r *repository) describe(s *source, expression ast.Expr) typeOf {
	switch e := expression.(type) {
	case *ast.StarExpr:
		return r.describe(s, e.X)
	case *ast.ArrayType:
		inner := r.describe(s, e.Elt)
		if inner.kind == "byte" {
			return typeOf{kind: "string"}
		}
		return typeOf{"list of " + plural(inner.kind), "[]" + inner.suffix, inner.dir, inner.name}
	case *ast.MapType:
		inner := r.describe(s, e.Value)
		return typeOf{"map of " + plural(inner.kind), ".NAME" + inner.suffix, inner.dir, inner.name}
	case *ast.SelectorExpr:
		path := s.imports[e.X.(*ast.Ident).Name]
		if dir, ours := strings.CutPrefix(path, module+"/"); ours {
			return r.named(dir, e.Sel.Name)
		}
		return typeOf{kind: foreign(path + "." + e.Sel.Name)}
	case *ast.Ident:
		if ast.IsExported(e.Name) || s.structType(e.Name) != nil {
			return r.named(s.dir, e.Name)
		}
		return typeOf{kind: basic(e.Name)}
	}
	return typeOf{kind: "any"}
}

// named describes a type of the product.
func (r *repository) named(dir, name string) typeOf {
	s, err := r.parse(dir)
	if err != nil {
		return typeOf{kind: name}
	}
	for _, t := range s.doc.Types {
		if t.Name != name {
			continue
		}
		spec, ok := t.Decl.Specs[0].(*ast.TypeSpec)
		if !ok {
			break
		}
		switch underlying := spec.Type.(type) {
		case *ast.StructType:
			if s.scalar(name) {
				return typeOf{kind: "string"}
			}
			return typeOf{kind: "object", dir: dir, name: name}
		case *ast.Ident:
			return typeOf{kind: basic(underlying.Name), dir: dir, name: name}
		default:
			return r.describe(s, underlying)
		}
	}
	return typeOf{kind: name}
}

// scalar reports whether a struct reads itself from a string.
func (s *source) scalar(name string) bool {
	for _, t := range s.doc.Types {
		if t.Name == name {
			for _, method := range t.Methods {
				if method.Name == "UnmarshalText" {
					return true
				}
			}
		}
	}
	return false
}

func (s *source) structType(name string) *ast.StructType {
	for _, t := range s.doc.Types {
		if t.Name == name {
			if spec, ok := t.Decl.Specs[0].(*ast.TypeSpec); ok {
				structure, _ := spec.Type.(*ast.StructType)
				return structure
			}
		}
	}
	return nil
}

// values lists the constants of a type with named values.
func (r *repository) values(t typeOf) string {
	if t.name == "" {
		return ""
	}
	s, err := r.parse(t.dir)
	if err != nil {
		return ""
	}
	var values []string
	for _, declared := range s.doc.Types {
		if declared.Name != t.name {
			continue
		}
		for _, group := range declared.Consts {
			for _, c := range newGroup(group, "").constants {
				value := code(c.value)
				if c.text != "" {
					value += ": " + strings.TrimSuffix(withoutName(c.text, c.name, c.value), ".")
				}
				values = append(values, value)
			}
		}
	}
	if len(values) == 0 {
		return ""
	}
	return "Values: " + strings.Join(values, "; ") + "."
}

func basic(name string) string {
	switch {
	case strings.HasPrefix(name, "int"), strings.HasPrefix(name, "uint"):
		return "integer"
	case name == "bool":
		return "boolean"
	}
	return name
}

// foreign names a type of another module as it appears in YAML.
func foreign(name string) string {
	switch name {
	case "net/netip.Addr":
		return "IP address"
	case "net/netip.Prefix":
		return "CIDR"
	case "k8s.io/apimachinery/pkg/apis/meta/v1.Time":
		return "time"
	case "k8s.io/apimachinery/pkg/apis/meta/v1.Duration", "time.Duration":
		return "duration"
	}
	return name[strings.LastIndex(name, ".")+1:]
}
