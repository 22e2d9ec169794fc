// Package table prints tables and lists for a terminal.
package table

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Colour is a colour of a cell (ECMA-48).
type Colour string

// The colours that cells have.
const (
	Plain  Colour = ""
	Red    Colour = "31"
	Green  Colour = "32"
	Yellow Colour = "33"
)

// Paint adds colours if it is true: on a terminal whose user has not turned colours
// off.
type Paint bool

// Escape returns a text with escape sequences in place of the characters that a terminal
// does not print, except for line breaks and the colours of In: names and values are those
// of objects that users of the cluster have written.
func Escape(text string) string {
	if !strings.ContainsFunc(text, unprintable) {
		return text
	}
	var out strings.Builder
	for text != "" {
		if colour := colours.FindString(text); colour != "" {
			out.WriteString(colour)
			text = text[len(colour):]
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		if unprintable(r) {
			out.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			out.WriteString(text[:size])
		}
		text = text[size:]
	}
	return out.String()
}

// Line returns a value for one line of a text: a line break in it, which would begin a line
// of its own, is escaped.
func Line(value string) string { return strings.ReplaceAll(value, "\n", `\n`) }

func unprintable(r rune) bool { return !unicode.IsPrint(r) && r != '\n' }

// colours matches what In writes.
var colours = regexp.MustCompile(`^\x1b\[(?:0|31|32|33)m`)

// In returns the text in a colour.
func (p Paint) In(colour Colour, text string) string {
	if !p || colour == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(colour) + "m" + text + "\x1b[0m"
}

// Cell is a text and its colour.
type Cell struct {
	Text   string
	Colour Colour
}

// Text returns a cell without a colour.
func Text(text string) Cell { return Cell{Text: text} }

// Table is a table with a header. Every row has as many cells as the header.
type Table struct {
	Header []string
	Rows   [][]Cell
}

// Add adds a row.
func (t *Table) Add(cells ...Cell) { t.Rows = append(t.Rows, cells) }

// padding separates columns, as kubectl's tables do.
const padding = 3

// String returns the table with aligned columns, a line for each row.
func (t *Table) String(paint Paint) string {
	widths := make([]int, len(t.Header))
	rows := make([][]Cell, 0, len(t.Rows)+1)
	header := make([]Cell, 0, len(t.Header))
	for _, title := range t.Header {
		header = append(header, Text(title))
	}
	rows = append(append(rows, header), t.Rows...)
	for _, row := range rows {
		for i, cell := range row {
			cell.Text = Line(cell.Text)
			widths[i] = max(widths[i], utf8.RuneCountInString(cell.Text))
		}
	}
	var out strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			cell.Text = Line(cell.Text)
			out.WriteString(paint.In(cell.Colour, cell.Text))
			if i < len(row)-1 {
				out.WriteString(strings.Repeat(" ", widths[i]+padding-utf8.RuneCountInString(cell.Text)))
			}
		}
		out.WriteByte('\n')
	}
	return trimLines(out.String())
}

// trimLines removes the spaces of empty cells at the ends of lines.
func trimLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
