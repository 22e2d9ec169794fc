package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// columns aligns the cells of rows, indented by two and separated by two
// spaces.
func columns(rows [][]string) string {
	const padding = 2
	var aligned bytes.Buffer
	w := tabwriter.NewWriter(&aligned, 0, 0, padding, ' ', 0)
	for _, row := range rows {
		// A buffer accepts every write.
		_, _ = io.WriteString(w, "  "+strings.Join(row, "\t")+"\n")
	}
	_ = w.Flush()
	// Empty cells at the end of a row leave spaces.
	var text strings.Builder
	for line := range strings.Lines(aligned.String()) {
		text.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return text.String()
}

// printJSON prints a document, indented.
func printJSON(w io.Writer, document any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(document)
}

// plural returns a number with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
