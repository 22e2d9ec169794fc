// Package transcript reads the commands of a Markdown page with the output that the
// page shows behind them, runs them, and compares the outputs.
package transcript

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Step is a block of commands.
type Step struct {
	// Line is the number of the block's first line in the page, from 1.
	Line int
	// Script are the commands, for a POSIX shell.
	Script string
	// Shown are the lines of output on the page. Nil: the page shows none.
	Shown []string
}

// fence is a line that begins or ends a block. Blocks are not nested.
var fence = regexp.MustCompile("^( *)```(.*)$")

// Read returns the steps of a page in their order. Each block with the language sh is a
// step. A block with the language text that follows a step, with only blank lines
// between, is its output. Such blocks elsewhere, in lists, and without lines are errors:
// they would be neither run nor compared.
func Read(page string) ([]Step, error) {
	var steps []Step
	lines := strings.Split(page, "\n")
	follows := false // only blank lines are between this line and the last step
	for at := 0; at < len(lines); at++ {
		opening := fence.FindStringSubmatch(lines[at])
		if opening == nil {
			follows = follows && strings.TrimSpace(lines[at]) == ""
			continue
		}
		first := at + 1
		length := slices.IndexFunc(lines[first:], func(line string) bool { return strings.TrimSpace(line) == "```" })
		if length < 0 {
			return nil, fmt.Errorf("line %d: the block does not end: close it by ```", first)
		}
		content := lines[first : first+length]
		at = first + length
		language := opening[2]
		if compared := language == "sh" || language == "text"; compared && (opening[1] != "" || length == 0) {
			return nil, fmt.Errorf("line %d: the block %s is indented or empty: move it out of the list, or remove it", first, language)
		}
		switch language {
		case "sh":
			steps = append(steps, Step{Line: first + 1, Script: strings.Join(content, "\n") + "\n"})
			follows = true
		case "text":
			if !follows {
				return nil, fmt.Errorf("line %d: the block text follows no block sh, so it is compared with no output: give it no language", first)
			}
			steps[len(steps)-1].Shown = content
			follows = false
		default:
			follows = false
		}
	}
	return steps, nil
}

// varies stands, within a line of the page, for any text. As a line of its own it stands
// for lines that the page leaves out.
const varies = "…"

// colour is a control sequence of terminals.
var colour = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)

// Check returns an error if the output lacks a line that the page shows. The lines must
// be there in the order of the page; others may be between them. Runs of blanks are equal
// to one blank, and blanks at the ends of lines do not count.
func (s Step) Check(output string) error {
	rest := strings.Split(colour.ReplaceAllString(output, ""), "\n")
	for i, shown := range s.Shown {
		if shown = words(shown); shown == "" || shown == varies {
			continue
		}
		lines := pattern(shown)
		at := slices.IndexFunc(rest, func(line string) bool { return lines.MatchString(words(line)) })
		if at < 0 {
			return fmt.Errorf("the output of line %d lacks the page's line %d, or has it in another order: %s\n%s", s.Line, i+1, shown, output)
		}
		rest = rest[at+1:]
	}
	return nil
}

// words returns the line with one blank between its words.
func words(line string) string { return strings.Join(strings.Fields(line), " ") }

// pattern matches the lines for which a line of the page stands.
func pattern(shown string) *regexp.Regexp {
	parts := strings.Split(shown, varies)
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$")
}
