// Package strictyaml decodes a YAML file into Go values, for configuration
// files that people write. It differs from other decoders in three ways.
//
// It reports all problems at once, each with its line, the path of the field
// and a correction, and merges the errors of a later validation into the same
// list.
//
// It is strict: unknown and repeated fields are refused, strings that look like
// numbers or booleans must be quoted, numbers must be decimal, and merge keys and
// tags are not supported, because readers of YAML do not agree on their meaning.
// Aliases are supported. A field that is empty or null is one that is not set, except for
// a group of fields, whose presence alone may have a meaning: that must be {} then.
//
// It bounds its work: the size of the file, and the number of values that
// aliases expand to.
//
// Fields are matched by the names in their json tags. A field whose tag has
// neither omitempty nor omitzero is required.
package strictyaml

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Decoder holds the settings of Decode. The zero value is ready to use.
type Decoder struct {
	// EmptyHint completes the message about an empty file: how to begin it.
	EmptyHint string
	// Scalars read types that are written as a string. Types that implement
	// encoding.TextUnmarshaler need none; a Scalar takes precedence over that.
	Scalars []Scalar
	// Moved completes the messages about unknown fields that former versions of a
	// file had, by their paths: what to do with them.
	Moved map[string]string
}

// Scalar reads the values of one type from a string.
type Scalar struct {
	of    reflect.Type
	parse func(string) (reflect.Value, error)
}

// ScalarOf returns a Scalar for the type T. The error of parse completes a
// message of the form: Invalid value: "10.0.0.1": must be a CIDR.
func ScalarOf[T any](parse func(string) (T, error)) Scalar {
	return Scalar{reflect.TypeFor[T](), func(text string) (reflect.Value, error) {
		value, err := parse(text)
		return reflect.ValueOf(value), err
	}}
}

// Document is a decoded file: its problems, and the lines of its fields.
type Document struct {
	problems []Problem
	// lines are the lines of all fields in the file by path; "" is the file.
	lines map[string]int
	// wrong holds the paths that already have a decoding error, and the probable
	// target of each misspelt field. Validation errors on these paths are
	// consequences and are dropped.
	wrong map[string]bool
	// malformed is whether the target may be incomplete.
	malformed bool
	// left is the number of values that may still be read. Aliases of aliases
	// multiply: a small file can stand for gigabytes. If it is negative, decoding
	// has stopped, and no further problem is recorded, because the rest of the
	// file was not read.
	left int
	// fields are the names of the top-level fields, in the order of the file.
	fields []string
}

// maxValues bounds the number of values in a file. It is several times the
// number that the largest useful file of the product contains: most values are
// the domains of tenants, which have to fit into the user data of the proxy.
const maxValues = 50_000

// Decode decodes a file into target, a pointer to a struct. The target holds
// the fields that could be decoded, also if there are problems.
func (d Decoder) Decode(data []byte, target any) *Document {
	document := &Document{lines: map[string]int{"": 1}, wrong: map[string]bool{}, left: maxValues}
	root, problem := parse(data)
	switch {
	case problem != nil:
		document.stop(*problem)
	case root == nil:
		detail := "is empty"
		if d.EmptyHint != "" {
			detail += ": " + d.EmptyHint
		}
		document.stop(Problem{Line: 1, Detail: detail})
	default:
		document.lines[""] = max(root.Line, 1)
		for i := 0; i < len(root.Content); i += 2 {
			document.fields = append(document.fields, root.Content[i].Value)
		}
		decoding{document, scalarParsers(d.Scalars), d.Moved}.value(root, reflect.ValueOf(target).Elem(), nil)
	}
	return document
}

// stop records the only problem of a file that could not be read.
func (d *Document) stop(problem Problem) {
	d.problems, d.malformed, d.left = []Problem{problem}, true, -1
}

// Malformed reports whether the form of the file is wrong, so that the target
// may be incomplete. If it is false, at most values are wrong; the target holds
// the zero value in place of a scalar that could not be parsed.
func (d *Document) Malformed() bool { return d.malformed }

// Fields returns the names of the top-level fields in the order of the file. It
// is empty if the file could not be read.
func (d *Document) Fields() []string { return slices.Clone(d.fields) }

// Line returns the line of a field or, if the file does not contain it, of the
// nearest field that should contain it.
func (d *Document) Line(path string) int {
	for {
		if line, ok := d.lines[path]; ok {
			return line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// Wrong reports whether a field already has a problem.
func (d *Document) Wrong(path string) bool { return d.wrong[path] }

// AddProblem records that a field has a form that its type does not reveal. The
// detail states the problem and how to correct it.
func (d *Document) AddProblem(path, detail string) { d.malformedAt(d.Line(path), path, detail) }

// AddInvalid records the errors of a validation of the target, except those that
// are a consequence of a recorded problem.
func (d *Document) AddInvalid(errs field.ErrorList) {
	if d.left < 0 {
		return
	}
	for _, err := range errs {
		if !d.follows(err) {
			// Validation may report a path several times, so the path is not
			// marked as wrong.
			d.problems = append(d.problems, Problem{Line: d.Line(err.Field), Field: err.Field, Detail: err.ErrorBody()})
		}
	}
}

// follows reports whether a validation error is a consequence of a problem: it
// concerns the same field or one below, or it reports a field as missing that
// contains the problem.
func (d *Document) follows(err *field.Error) bool {
	for path := range d.wrong {
		if within(err.Field, path) || (err.Type == field.ErrorTypeRequired && within(path, err.Field)) {
			return true
		}
	}
	return false
}

// within reports whether a path is another path, or leads on from it.
func within(path, ancestor string) bool {
	rest, ok := strings.CutPrefix(path, ancestor)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// Err returns an *Error with all problems, ordered by line, or nil. The name of
// the file is for display only.
func (d *Document) Err(file string) error {
	if len(d.problems) == 0 {
		return nil
	}
	problems := slices.Clone(d.problems)
	slices.SortStableFunc(problems, func(a, b Problem) int { return a.Line - b.Line })
	return &Error{File: file, Problems: problems}
}

// malformedAt records a problem after which the target may be incomplete.
func (d *Document) malformedAt(line int, path, detail string) {
	if d.left < 0 {
		return
	}
	d.malformed = true
	d.wrongAt(line, path, detail)
}

// wrongAt records a problem with a value.
func (d *Document) wrongAt(line int, path, detail string) {
	if path != "" {
		d.wrong[path] = true
	}
	d.problems = append(d.problems, Problem{Line: max(line, 1), Field: path, Detail: detail})
}

// tooMany records that the bound on values is exceeded. It is the last problem.
func (d *Document) tooMany(line int, path string) {
	d.malformedAt(line, path, fmt.Sprintf("is too much: the file contains more than %d values, counting each use of an alias", maxValues))
}
