package strictyaml

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Error holds everything that is wrong with a file.
type Error struct {
	// File is the name of the file, for display only.
	File string
	// Problems are ordered by line. There is at least one.
	Problems []Problem
}

// Problem is one thing that is wrong with a file.
type Problem struct {
	// Line is the line of the field, from 1 on. For a missing field it is the
	// line of the field that should contain it.
	Line int
	// Field is the path of the field, such as spec.tenants[0].proxy.port. It is
	// empty if the problem concerns the whole file.
	Field string
	// Detail states the problem and how to correct it.
	Detail string
}

// Error returns one line for each problem:
//
//	egress.yaml:12: spec.proxy.tipe: unknown field; did you mean "type"?
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems))
	for _, problem := range e.Problems {
		message := problem.Detail
		if problem.Field != "" {
			message = problem.Field + ": " + message
		}
		lines = append(lines, fmt.Sprintf("%s:%d: %s", e.File, problem.Line, escape(message)))
	}
	return strings.Join(lines, "\n")
}

// escape replaces unprintable characters by escape sequences, so that a message
// stays on one line and cannot control the terminal: keys and values are quoted
// from the file.
func escape(message string) string {
	if !strings.ContainsFunc(message, unprintable) {
		return message
	}
	var escaped strings.Builder
	for _, r := range message {
		if unprintable(r) {
			escaped.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			escaped.WriteRune(r)
		}
	}
	return escaped.String()
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
