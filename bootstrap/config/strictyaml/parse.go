package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxBytes bounds the size of a file: a thousand times the usual size of a
// configuration file.
const maxBytes = 1 << 20

// parse returns the root of the only YAML document in a file, or the first
// problem. The root is a mapping. It is nil, without a problem, if the file is
// empty.
func parse(data []byte) (*yaml.Node, *Problem) {
	if problem := unreadable(data); problem != nil {
		return nil, problem
	}
	var document, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, syntaxProblem(err, data)
	}
	switch err := decoder.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, syntaxProblem(err, data)
	default:
		return nil, &Problem{Line: max(second.Line, 1), Detail: "a second document begins here: the file must contain only one; remove the line ---"}
	}
	if len(document.Content) != 1 || isNull(document.Content[0]) {
		return nil, nil
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, &Problem{Line: max(root.Line, 1), Detail: "must be a map of fields, is " + describe(root)}
	}
	return root, nil
}

// unreadable finds content that the YAML library refuses without a line number.
func unreadable(data []byte) *Problem {
	if len(data) > maxBytes {
		return &Problem{Line: 1, Detail: fmt.Sprintf("has more than %d bytes: is it the right file?", maxBytes)}
	}
	line := 1
	for rest := data; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == '\n':
			line++
		case r == utf8.RuneError && size == 1:
			return &Problem{Line: line, Detail: "is not UTF-8: save the file as UTF-8"}
		case unicode.IsControl(r) && r != '\t' && r != '\r' && r != '\u0085':
			return &Problem{Line: line, Detail: fmt.Sprintf("contains the control character %U: remove it", r)}
		}
		rest = rest[size:]
	}
	return nil
}

var (
	errorWithLine = regexp.MustCompile(`^line (\d+): (.*)$`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// badBlock are the errors about a line that belongs to no block, mostly by its
// indentation. The YAML library reports the line in which the block begins.
var badBlock = []string{"did not find expected key", "did not find expected '-' indicator"}

// oneTooSmall are the other errors of the library's parser, whose line numbers are one too
// small. Those of its scanner are right.
var oneTooSmall = []string{
	"did not find expected <document start>", "did not find expected node content",
	"did not find expected ',' or ']'", "did not find expected ',' or '}'",
	"found undefined tag handle", "found duplicate %YAML directive", "found incompatible YAML document", "found duplicate %TAG directive",
}

// badAlias is the error about an asterisk or an ampersand without a name.
const badAlias = "did not find expected alphabetic or numeric character"

// syntaxProblem finds the line of an error of the YAML library. Errors in the first
// line have no number.
func syntaxProblem(err error, data []byte) *Problem {
	message, line := syntaxError(err)
	switch {
	case slices.Contains(badBlock, message):
		line = badBlockLine(message, data)
	case slices.Contains(oneTooSmall, message):
		line++
	}
	lines := strings.Split(strings.TrimRight(string(data), "\r\n"), "\n")
	if found := unknownAnchor.FindStringSubmatch(message); found != nil {
		alias := regexp.MustCompile(`\*` + regexp.QuoteMeta(found[1]) + `([^0-9A-Za-z_-]|$)`)
		line = 1 + slices.IndexFunc(lines, alias.MatchString)
		return &Problem{Line: max(line, 1), Detail: "*" + found[1] + " refers to an unknown anchor: &" + found[1] + " must come before it"}
	}
	line = min(max(line, 1), len(lines))
	// The library may report the line before the one that contains a tab.
	for at := line; at <= min(line+1, len(lines)); at++ {
		text := lines[at-1]
		if indentation := text[:len(text)-len(strings.TrimLeft(text, " \t"))]; strings.Contains(indentation, "\t") {
			return &Problem{Line: at, Detail: "is indented with a tab: use spaces"}
		}
	}
	if message == badAlias {
		return &Problem{Line: line, Detail: "has a * or & at the beginning of a value, where they have a meaning in YAML: quote the value"}
	}
	return &Problem{Line: line, Detail: "is not YAML: " + message + "; check indentation and quotes in this line and those around it"}
}

// syntaxError returns the message of the YAML library, and its line number, 1 if it has
// none.
func syntaxError(err error) (message string, line int) {
	message = strings.TrimPrefix(err.Error(), "yaml: ")
	found := errorWithLine.FindStringSubmatch(message)
	if found == nil {
		return message, 1
	}
	line, _ = strconv.Atoi(found[1])
	return found[2], line
}

// badBlockLine returns the line of an error of badBlock: the first lines of the file have
// the error if this line is among them.
func badBlockLine(message string, data []byte) int {
	lines := bytes.SplitAfter(data, []byte("\n"))
	return 1 + sort.Search(len(lines)-1, func(last int) bool {
		err := decodeTwo(bytes.Join(lines[:last+1], nil))
		if err == nil {
			return false
		}
		found, _ := syntaxError(err)
		return found == message
	})
}

// decodeTwo decodes the first two documents of a file. The error is that of the first one that cannot
// be decoded.
func decodeTwo(data []byte) error {
	var node yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&node); err != nil {
		return err //nolint:wrapcheck // syntaxError reads it
	}
	return decoder.Decode(&node) //nolint:wrapcheck // the same
}
