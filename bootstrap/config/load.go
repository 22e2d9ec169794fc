package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/v1alpha1"
)

// LoadEgress reads egress.yaml: it decodes it strictly, sets defaults and
// validates. The file's name serves in errors, and to keep outputs from
// replacing it; nothing is opened.
//
// The error is a *ConfigError with everything that is wrong. If that is only
// with values, not with the form of the file, the Egress is returned as well,
// so that the caller can go on checking.
func LoadEgress(file string, data []byte) (*Egress, error) {
	root, problem := parseYAML(data)
	if problem != nil {
		return nil, &ConfigError{File: file, Problems: []ConfigProblem{*problem}}
	}
	egress := &Egress{}
	decoder := newDecoder(root)
	decoder.value(root, reflect.ValueOf(egress).Elem(), nil)
	if problems := decoder.otherKind(egress); len(problems) > 0 {
		return nil, &ConfigError{File: file, Problems: problems}
	}
	decoded := len(decoder.problems) == 0

	egress.SetDefaults()
	errs := append(egress.Validate(), egress.Outputs.validateAgainst(file, field.NewPath("outputs"))...)
	for _, err := range errs {
		decoder.invalid(err)
	}
	if len(decoder.problems) == 0 {
		return egress, nil
	}
	slices.SortStableFunc(decoder.problems, func(a, b ConfigProblem) int { return a.Line - b.Line })
	err := &ConfigError{File: file, Problems: decoder.problems}
	if !decoded {
		return nil, err
	}
	return egress, err
}

// ConfigError is everything that is wrong with egress.yaml, by line.
type ConfigError struct {
	// File is the file's name as LoadEgress was given it.
	File string
	// Problems are in the order of their lines. There is at least one.
	Problems []ConfigProblem
}

// ConfigProblem is one thing that is wrong with egress.yaml.
type ConfigProblem struct {
	// Line is where, from 1 on: where the field stands or, of one that is
	// missing, the field that it belongs into.
	Line int
	// Field is the field's path, such as tenants[0].proxy.port. Empty: the
	// file as a whole.
	Field string
	// Detail is what is wrong, and what to do.
	Detail string
}

// Error returns a line for each problem:
//
//	egress.yaml:12: proxy.tipe: unknown field; did you mean "type"?
func (e *ConfigError) Error() string {
	lines := make([]string, 0, len(e.Problems))
	for _, problem := range e.Problems {
		text := problem.Detail
		if problem.Field != "" {
			text = problem.Field + ": " + text
		}
		lines = append(lines, fmt.Sprintf("%s:%d: %s", e.File, problem.Line, oneLine(text)))
	}
	return strings.Join(lines, "\n")
}

// oneLine escapes what a terminal would not print as it is: keys come from the
// file as they are.
func oneLine(text string) string {
	if !strings.ContainsFunc(text, unprintable) {
		return text
	}
	var escaped strings.Builder
	for _, r := range text {
		if unprintable(r) {
			escaped.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			escaped.WriteRune(r)
		}
	}
	return escaped.String()
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// maxConfigBytes bounds egress.yaml: a thousand times what people write.
const maxConfigBytes = 1 << 20

// parseYAML returns the one document of a file.
func parseYAML(data []byte) (*yaml.Node, *ConfigProblem) {
	if problem := unreadable(data); problem != nil {
		return nil, problem
	}
	var document, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	err := decoder.Decode(&document)
	switch {
	case errors.Is(err, io.EOF):
		return nil, emptyFile()
	case err != nil:
		return nil, syntaxProblem(err, data)
	case len(document.Content) != 1 || isNull(document.Content[0]):
		return nil, emptyFile()
	}
	switch err := decoder.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, syntaxProblem(err, data)
	default:
		return nil, &ConfigProblem{Line: max(second.Line, 1), Detail: "a second document begins here: the file must hold one; remove the line ---"}
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, &ConfigProblem{Line: max(root.Line, 1), Detail: "must be fields with values, is " + describe(root)}
	}
	return root, nil
}

func emptyFile() *ConfigProblem {
	return &ConfigProblem{Line: 1, Detail: "is empty: begin with apiVersion: " + v1alpha1.GroupVersion.String() + " and kind: " + KindEgress}
}

// unreadable finds what the YAML library refuses without saying where.
func unreadable(data []byte) *ConfigProblem {
	if len(data) > maxConfigBytes {
		return &ConfigProblem{Line: 1, Detail: fmt.Sprintf("has more than %d bytes: is it the right file?", maxConfigBytes)}
	}
	line := 1
	for rest := data; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == '\n':
			line++
		case r == utf8.RuneError && size == 1:
			return &ConfigProblem{Line: line, Detail: "is not UTF-8: save the file as UTF-8"}
		case unicode.IsControl(r) && r != '\t' && r != '\r' && r != '\u0085':
			return &ConfigProblem{Line: line, Detail: fmt.Sprintf("contains the control character %U: remove it", r)}
		}
		rest = rest[size:]
	}
	return nil
}

// syntaxProblem says in which line the YAML library's error is. Its lines are
// one too small when its parser complains, right when its scanner does, and
// missing in the first line.
func syntaxProblem(err error, data []byte) *ConfigProblem {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if found := regexp.MustCompile(`^line (\d+): (.*)$`).FindStringSubmatch(message); found != nil {
		line, _ = strconv.Atoi(found[1])
		message = found[2]
		if strings.HasPrefix(message, "did not find expected") {
			line++
		}
	}
	lines := strings.Split(strings.TrimRight(string(data), "\r\n"), "\n")
	if found := regexp.MustCompile(`^unknown anchor '(.*)' referenced$`).FindStringSubmatch(message); found != nil {
		line = 1 + slices.IndexFunc(lines, func(text string) bool { return strings.Contains(text, "*"+found[1]) })
		return &ConfigProblem{Line: max(line, 1), Detail: "*" + found[1] + " refers to nothing: &" + found[1] + " must come before it"}
	}
	line = min(max(line, 1), len(lines))
	// The library may stop in the line before a tab.
	for at := line; at <= min(line+1, len(lines)); at++ {
		text := lines[at-1]
		if indentation := text[:len(text)-len(strings.TrimLeft(text, " \t"))]; strings.Contains(indentation, "\t") {
			return &ConfigProblem{Line: at, Detail: "is indented with a tab: write spaces"}
		}
	}
	return &ConfigProblem{Line: line, Detail: "is not YAML: " + message + "; look at indentation and quotes, here and around"}
}
