package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/v1alpha1"
)

// decoder fills Go values from YAML, remembering in which line each field
// stands. Of YAML it takes what JSON has, and aliases: texts that look like
// numbers want quotes, and yes is not true.
type decoder struct {
	problems []ConfigProblem
	// lines are those of all fields in the file, by path; "" is the file.
	lines map[string]int
	// wrong are the paths that problems are about, and those that people most
	// likely meant: what validation says of them would only repeat it.
	wrong map[string]bool
	// left is how many values may still be read. Aliases of aliases multiply:
	// a small file can stand for gigabytes. Below zero, reading is over, and
	// nothing more is said of what was read by halves.
	left int
}

// maxConfigValues is several times what a proxy can be told: the domains of all
// tenants, which most values are, have to fit into its user data.
const maxConfigValues = 50_000

func newDecoder(root *yaml.Node) *decoder {
	return &decoder{lines: map[string]int{"": max(root.Line, 1)}, wrong: map[string]bool{}, left: maxConfigValues}
}

// value decodes a node into a settable value. Null leaves the value as it is.
func (d *decoder) value(node *yaml.Node, target reflect.Value, at *field.Path) {
	line := node.Line
	node = resolve(node)
	if d.left == 0 {
		d.problem(line, at, fmt.Sprintf("is too much: the file holds more than %d values, counting every use of an alias", maxConfigValues))
	}
	if d.left--; d.left < 0 {
		return
	}
	if node.Style&yaml.TaggedStyle != 0 {
		d.problem(line, at, "has the tag "+node.Tag+", which is not supported: remove it, and put texts in quotes")
		return
	}
	if isNull(node) {
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
		d.texts(node, line, target, at)
	default:
		if err := setScalar(node, target); err != nil {
			d.problem(line, at, err.Error())
		}
	}
}

func (d *decoder) structure(node *yaml.Node, line int, target reflect.Value, at *field.Path) {
	if node.Kind != yaml.MappingNode {
		d.problem(line, at, "must be fields with values, is "+describe(node))
		return
	}
	fields := jsonFields(target.Type())
	missing := maps.Clone(fields)
	d.pairs(node, at, func(name string, line int, node *yaml.Node) {
		known, ok := fields[name]
		if !ok {
			d.unknown(name, line, fields, at)
			return
		}
		child := at.Child(name)
		d.lines[child.String()] = line
		if isNull(resolve(node)) {
			return
		}
		delete(missing, name)
		into := target.FieldByIndex(known.index)
		d.value(node, into, child)
		if known.optional && into.CanInt() && into.IsZero() && !d.wrong[child.String()] {
			d.problem(line, child, "must not be 0, which would be read as not set: for the default, leave it out")
		}
	})
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		if child := at.Child(name); !missing[name].optional && !d.wrong[child.String()] {
			d.problem(d.line(child.String()), child, "is required")
		}
	}
}

func (d *decoder) list(node *yaml.Node, line int, target reflect.Value, at *field.Path) {
	if node.Kind != yaml.SequenceNode {
		d.problem(line, at, "must be a list, is "+describe(node))
		return
	}
	for i, item := range node.Content {
		child := at.Index(i)
		d.lines[child.String()] = item.Line
		into := reflect.New(target.Type().Elem()).Elem()
		if isNull(resolve(item)) {
			d.problem(item.Line, child, "is empty: remove it")
		}
		d.value(item, into, child)
		if d.left < 0 {
			return
		}
		target.Set(reflect.Append(target, into))
	}
}

// texts decodes a map of texts by texts.
func (d *decoder) texts(node *yaml.Node, line int, target reflect.Value, at *field.Path) {
	if node.Kind != yaml.MappingNode {
		d.problem(line, at, "must be names with values, is "+describe(node))
		return
	}
	target.Set(reflect.MakeMap(target.Type()))
	d.pairs(node, at, func(name string, line int, node *yaml.Node) {
		child := at.Key(name)
		d.lines[child.String()] = line
		if isNull(resolve(node)) {
			d.problem(line, child, `must be a text: for an empty one write ""`)
			return
		}
		into := reflect.New(target.Type().Elem()).Elem()
		d.value(node, into, child)
		target.SetMapIndex(reflect.ValueOf(name), into)
	})
}

// pairs calls do with each key, its line and its value.
func (d *decoder) pairs(node *yaml.Node, at *field.Path, do func(name string, line int, node *yaml.Node)) {
	first := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		line, key, value := node.Content[i].Line, resolve(node.Content[i]), node.Content[i+1]
		switch {
		case key.ShortTag() == "!!merge":
			d.problem(line, at, "merge keys (<<) are not supported: write the fields out")
		case key.Kind != yaml.ScalarNode:
			d.problem(line, at, "has "+describe(key)+" for a key, which must be a text")
		case key.ShortTag() != "!!str":
			d.problem(line, at, fmt.Sprintf("has the key %s, which must be a text: put it in quotes, %q", key.Value, key.Value))
		case first[key.Value] != 0:
			d.problem(line, at.Child(key.Value), fmt.Sprintf("stands here a second time, after line %d: remove one", first[key.Value]))
		default:
			first[key.Value] = line
			do(key.Value, line, value)
		}
	}
}

func (d *decoder) unknown(name string, line int, fields map[string]jsonField, at *field.Path) {
	detail := "unknown field"
	if like := nearest(name, slices.Sorted(maps.Keys(fields))); like != "" {
		detail += fmt.Sprintf("; did you mean %q?", like)
		d.wrong[at.Child(like).String()] = true
	}
	d.problem(line, at.Child(name), detail)
}

func (d *decoder) problem(line int, at *field.Path, detail string) {
	if d.left < 0 {
		return
	}
	path := ""
	if at != nil {
		path = at.String()
		d.wrong[path] = true
	}
	d.problems = append(d.problems, ConfigProblem{Line: max(line, 1), Field: path, Detail: detail})
}

// invalid adds what validation found, unless it follows from a problem of
// decoding.
func (d *decoder) invalid(err *field.Error) {
	if d.left < 0 {
		return
	}
	for path := range d.wrong {
		if below(err.Field, path) || (err.Type == field.ErrorTypeRequired && below(path, err.Field)) {
			return
		}
	}
	// Validation can come back to a path, so this is not marked wrong.
	d.problems = append(d.problems, ConfigProblem{Line: d.line(err.Field), Field: err.Field, Detail: err.ErrorBody()})
}

// below says whether one path is another, or leads on from it.
func below(path, from string) bool {
	rest, ok := strings.CutPrefix(path, from)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// line is where a field stands or, failing that, what it belongs into.
func (d *decoder) line(path string) int {
	for {
		if line, ok := d.lines[path]; ok {
			return line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// otherKind returns what is wrong with apiVersion and kind. If the file says
// that it holds something else, nothing more can be said of it; if it does not
// say what it holds, that is added to the decoder's problems.
func (d *decoder) otherKind(egress *Egress) []ConfigProblem {
	var other []ConfigProblem
	for _, each := range []struct{ name, is, want string }{
		{"apiVersion", egress.APIVersion, v1alpha1.GroupVersion.String()},
		{"kind", egress.Kind, KindEgress},
	} {
		switch {
		case each.is == each.want || d.wrong[each.name]:
		case each.is == "":
			d.problem(d.line(each.name), field.NewPath(each.name), "is required: write "+each.want)
		default:
			other = append(other, ConfigProblem{
				Line: d.line(each.name), Field: each.name,
				Detail: fmt.Sprintf("must be %s, is %q: is it the right file?", each.want, each.is),
			})
		}
	}
	return other
}

// setScalar sets a text, an integer or a truth value.
func setScalar(node *yaml.Node, target reflect.Value) error {
	switch {
	case target.Kind() == reflect.String:
		if node.Kind != yaml.ScalarNode {
			return errors.New("must be a text, is " + describe(node))
		}
		if node.ShortTag() != "!!str" {
			return fmt.Errorf("must be a text, is %s: put it in quotes, %q", describe(node), node.Value)
		}
		target.SetString(node.Value)
	case target.Kind() == reflect.Bool:
		if node.ShortTag() != "!!bool" {
			return errors.New("must be true or false, without quotes, is " + describe(node))
		}
		target.SetBool(strings.EqualFold(node.Value, "true"))
	case target.CanInt():
		// 010, 0x1F and 1_000 are integers of YAML; readers of YAML do not
		// agree on which.
		if node.ShortTag() != "!!int" {
			return errors.New("must be an integer, without quotes, is " + describe(node))
		}
		number, err := strconv.ParseInt(node.Value, 10, target.Type().Bits())
		switch {
		case errors.Is(err, strconv.ErrRange):
			return errors.New("must be a smaller integer")
		case err != nil || strconv.FormatInt(number, 10) != node.Value:
			return fmt.Errorf("must be a decimal integer, is %s", node.Value)
		}
		target.SetInt(number)
	default:
		return fmt.Errorf("cannot be read from YAML: it is of Go's type %s", target.Type())
	}
	return nil
}

// describe says what a node is.
func describe(node *yaml.Node) string {
	switch {
	case node.Kind == yaml.MappingNode:
		return "a map"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(node):
		return "empty"
	case node.ShortTag() == "!!str":
		return fmt.Sprintf("the text %q", node.Value)
	case node.ShortTag() == "!!timestamp":
		return "the date " + node.Value
	default:
		return node.Value
	}
}

// resolve follows an alias to its anchor. An anchor is never on an alias.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

func isNull(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
}

// jsonField is a field of a struct under its name in JSON.
type jsonField struct {
	index    []int
	optional bool
}

// jsonFields are a struct's fields by their names in JSON, those of inlined
// structs included.
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

// nearest is the name that a wrong one most likely stands for: at most two
// letters away, less than half of the word. Empty: none.
func nearest(wrong string, names []string) string {
	const far = 3
	if len(wrong) > 64 {
		return "" // No name is that long.
	}
	best, least := "", far
	for _, name := range names {
		if d := distance(strings.ToLower(wrong), strings.ToLower(name)); d < least && 2*d <= len(name) {
			best, least = name, d
		}
	}
	return best
}

// distance is how many letters must be added, removed or replaced to make one
// word of another.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
