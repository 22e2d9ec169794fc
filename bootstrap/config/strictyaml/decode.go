package strictyaml

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// decoding fills Go values from the nodes of a document.
type decoding struct {
	document *Document
	parsers  map[reflect.Type]func(string) (reflect.Value, error)
	moved    map[string]string
}

func scalarParsers(scalars []Scalar) map[reflect.Type]func(string) (reflect.Value, error) {
	parsers := make(map[reflect.Type]func(string) (reflect.Value, error), len(scalars))
	for _, scalar := range scalars {
		parsers[scalar.of] = scalar.parse
	}
	return parsers
}

// value decodes a node into a settable value. Null leaves the value as it is; structure
// refuses it where it would hide what the author meant.
func (d decoding) value(node *yaml.Node, target reflect.Value, at *field.Path) {
	line := node.Line
	node = resolve(node)
	if d.document.left == 0 {
		d.document.tooMany(line, pathOf(at))
	}
	if d.document.left--; d.document.left < 0 {
		return
	}
	if node.Style&yaml.TaggedStyle != 0 {
		d.malformed(line, at, "has the tag "+node.Tag+", which is not supported: remove it, and quote strings")
		return
	}
	if isNull(node) {
		return
	}
	if parse := d.parser(target); parse != nil {
		d.parsed(node, line, at, parse)
		return
	}
	switch target.Kind() {
	case reflect.Pointer:
		target.Set(reflect.New(target.Type().Elem()))
		d.value(node, target.Elem(), at)
	case reflect.Struct:
		d.structure(node, line, target, at)
	case reflect.Slice:
		d.list(node, line, target, at)
	case reflect.Map:
		d.stringMap(node, line, target, at)
	default:
		if err := setScalar(node, target); err != nil {
			d.malformed(line, at, err.Error())
		}
	}
}

func (d decoding) structure(node *yaml.Node, line int, target reflect.Value, at *field.Path) {
	if node.Kind != yaml.MappingNode {
		d.malformed(line, at, "must be a map of fields, is "+describe(node))
		return
	}
	fields := jsonFields(target.Type())
	missing, written := maps.Clone(fields), keys(node)
	d.pairs(node, at, func(name string, line int, node *yaml.Node) {
		known, ok := fields[name]
		if !ok {
			d.unknown(name, line, fields, written, at)
			return
		}
		child := at.Child(name)
		d.document.lines[child.String()] = line
		into := target.FieldByIndex(known.index)
		if isNull(resolve(node)) {
			if known.optional && isGroup(into.Type()) {
				d.malformed(line, child, "is empty: write its fields below it, or {} for the defaults, or remove it")
			}
			return
		}
		delete(missing, name)
		d.value(node, into, child)
		if known.optional && into.CanInt() && into.IsZero() && !d.document.Wrong(child.String()) {
			d.malformed(line, child, "must not be 0, which would be read as not set: leave it out for the default")
		}
	})
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		if child := at.Child(name); !missing[name].optional && !d.document.Wrong(child.String()) {
			d.malformed(d.document.Line(child.String()), child, "is required")
		}
	}
}

func (d decoding) list(node *yaml.Node, line int, target reflect.Value, at *field.Path) {
	if node.Kind != yaml.SequenceNode {
		d.malformed(line, at, "must be a list, is "+describe(node))
		return
	}
	for i, item := range node.Content {
		child := at.Index(i)
		d.document.lines[child.String()] = item.Line
		into := reflect.New(target.Type().Elem()).Elem()
		if isNull(resolve(item)) {
			d.malformed(item.Line, child, "is empty: remove it")
		}
		d.value(item, into, child)
		if d.document.left < 0 {
			return
		}
		target.Set(reflect.Append(target, into))
	}
}

// stringMap decodes a map of strings by strings.
func (d decoding) stringMap(node *yaml.Node, line int, target reflect.Value, at *field.Path) {
	if node.Kind != yaml.MappingNode {
		d.malformed(line, at, "must be a map of names and values, is "+describe(node))
		return
	}
	target.Set(reflect.MakeMap(target.Type()))
	d.pairs(node, at, func(name string, line int, node *yaml.Node) {
		child := at.Key(name)
		d.document.lines[child.String()] = line
		if isNull(resolve(node)) {
			d.malformed(line, child, `must be a string: write "" for an empty one`)
			return
		}
		into := reflect.New(target.Type().Elem()).Elem()
		d.value(node, into, child)
		target.SetMapIndex(reflect.ValueOf(name), into)
	})
}

// pairs calls do with each key of a mapping, its line and its value.
func (d decoding) pairs(node *yaml.Node, at *field.Path, do func(name string, line int, node *yaml.Node)) {
	first := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		line, key, value := node.Content[i].Line, resolve(node.Content[i]), node.Content[i+1]
		switch {
		case key.ShortTag() == "!!merge":
			d.malformed(line, at, "merge keys (<<) are not supported: write the fields out")
		case key.Kind != yaml.ScalarNode:
			d.malformed(line, at, "has "+describe(key)+" as a key, which must be a string")
		case key.ShortTag() != "!!str":
			d.malformed(line, at, fmt.Sprintf("has the key %s, which must be a string: quote it, %q", key.Value, key.Value))
		case first[key.Value] != 0:
			d.malformed(line, at.Child(key.Value), fmt.Sprintf("is repeated; it is already in line %d: remove one", first[key.Value]))
		default:
			first[key.Value] = line
			do(key.Value, line, value)
		}
	}
}

// isGroup reports whether a type is that of fields which mean something else if they are
// all left out than if there is no such group.
func isGroup(of reflect.Type) bool {
	return of.Kind() == reflect.Pointer && of.Elem().Kind() == reflect.Struct
}

// keys returns the keys of a mapping that are written as they are.
func keys(node *yaml.Node) map[string]bool {
	written := make(map[string]bool, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		written[resolve(node.Content[i]).Value] = true
	}
	return written
}

// unknown records a field that does not exist. A field of a similar name that is missing
// from the written ones is not reported as missing too.
func (d decoding) unknown(name string, line int, fields map[string]jsonField, written map[string]bool, at *field.Path) {
	detail := "unknown field"
	if remedy := d.moved[at.Child(name).String()]; remedy != "" {
		detail += ": " + remedy
	} else if like := nearest(name, slices.Sorted(maps.Keys(fields))); like != "" {
		detail += fmt.Sprintf("; did you mean %q?", like)
		if !written[like] {
			d.document.wrong[at.Child(like).String()] = true
		}
	}
	d.document.lines[at.Child(name).String()] = line
	d.malformed(line, at.Child(name), detail)
}

// parser returns the function that reads a value from a string, or nil if the
// type of the value is not written as a string of its own form.
func (d decoding) parser(target reflect.Value) func(string) error {
	if parse := d.parsers[target.Type()]; parse != nil {
		return func(text string) error {
			value, err := parse(text)
			if err == nil {
				target.Set(value)
			}
			return err
		}
	}
	if unmarshaler, ok := reflect.TypeAssert[encoding.TextUnmarshaler](target.Addr()); ok {
		return func(text string) error {
			err := unmarshaler.UnmarshalText([]byte(text))
			if err != nil {
				target.SetZero()
			}
			return err
		}
	}
	return nil
}

// parsed sets a value that is written as a string. A string that cannot be
// parsed is a wrong value, which leaves the form of the file intact.
func (d decoding) parsed(node *yaml.Node, line int, at *field.Path, parse func(string) error) {
	text, err := stringOf(node)
	if err != nil {
		d.malformed(line, at, err.Error())
		return
	}
	if err := parse(text); err != nil {
		d.document.wrongAt(line, pathOf(at), fmt.Sprintf("Invalid value: %q: %v", text, err))
	}
}

func (d decoding) malformed(line int, at *field.Path, detail string) {
	d.document.malformedAt(line, pathOf(at), detail)
}

// pathOf is the path as a string; the path of the root is empty.
func pathOf(at *field.Path) string {
	if at == nil {
		return ""
	}
	return at.String()
}

// jsonField is a field of a struct under its JSON name.
type jsonField struct {
	index    []int
	optional bool
}

// jsonFields returns the fields of a struct by their JSON names, including those
// of inlined structs.
func jsonFields(of reflect.Type) map[string]jsonField {
	fields := map[string]jsonField{}
	for i := range of.NumField() {
		each := of.Field(i)
		name, options, _ := strings.Cut(each.Tag.Get("json"), ",")
		if each.Anonymous && name == "" {
			for name, inner := range jsonFields(each.Type) {
				inner.index = append([]int{i}, inner.index...)
				fields[name] = inner
			}
			continue
		}
		fields[name] = jsonField{
			index:    []int{i},
			optional: strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero"),
		}
	}
	return fields
}
