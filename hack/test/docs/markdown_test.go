// Package docs_test compares the documentation with the code: names exist,
// quotations match the programs, and examples are valid.
package docs_test

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// repository is the folder of the checkout. Its path leads through this
// package's folder, unshortened: Go's test cache only sees files whose paths
// begin with that of the module, and these are outside of it.
func repository(t *testing.T) fs.FS {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return os.DirFS(here + "/../../..")
}

// page is a Markdown file.
type page struct {
	path string // relative to the repository
	text string
}

// block is a fenced block of code.
type block struct {
	line     int // of its first line, from 1
	language string
	text     string
}

// documentation returns every page of the checkout. Folders that builds and tools
// create contain none of them.
func documentation(t *testing.T) []page {
	t.Helper()
	var pages []page
	err := fs.WalkDir(repository(t), ".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (file == "dist" || file == "bin" || strings.HasPrefix(file, ".") && file != "."):
			return fs.SkipDir
		case path.Ext(file) == ".md":
			pages = append(pages, page{file, read(t, file)})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := fs.ReadFile(repository(t), file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func exists(t *testing.T, file string) bool {
	t.Helper()
	_, err := fs.Stat(repository(t), file)
	return err == nil
}

// fence is a line that begins or ends a block. Blocks are not nested.
var fence = regexp.MustCompile("(?m)^ *```([a-z]*)$")

// blocks returns the fenced blocks of a page, and the page without them.
func (p page) blocks(t *testing.T) (blocks []block, prose string) {
	t.Helper()
	fences := fence.FindAllStringSubmatchIndex(p.text, -1)
	if len(fences)%2 != 0 {
		t.Fatalf("%s: a block of code does not end", p.path)
	}
	var rest strings.Builder
	at := 0
	for pair := range slices.Chunk(fences, 2) {
		begin, end := pair[0], pair[1]
		blocks = append(blocks, block{
			line:     2 + strings.Count(p.text[:begin[0]], "\n"),
			language: p.text[begin[2]:begin[3]],
			text:     p.text[begin[1]+1 : end[0]],
		})
		rest.WriteString(p.text[at:begin[0]])
		at = end[1]
	}
	rest.WriteString(p.text[at:])
	return blocks, rest.String()
}

var span = regexp.MustCompile("`([^`\n]+)`")

// spans returns the code spans in prose and tables.
func (p page) spans(t *testing.T) []string {
	t.Helper()
	_, prose := p.blocks(t)
	var spans []string
	for _, match := range span.FindAllStringSubmatch(prose, -1) {
		spans = append(spans, match[1])
	}
	return spans
}

// commands returns the blocks of commands.
func (p page) commands(t *testing.T) string {
	t.Helper()
	var commands strings.Builder
	blocks, _ := p.blocks(t)
	for _, b := range blocks {
		if b.language == "sh" {
			commands.WriteString(b.text)
		}
	}
	return commands.String()
}

// code returns all code: spans, and lines of commands.
func (p page) code(t *testing.T) []string {
	t.Helper()
	return append(p.spans(t), strings.Split(p.commands(t), "\n")...)
}

// column returns the code spans below a title in the page's tables.
func (p page) column(t *testing.T, title string) []string {
	t.Helper()
	var names []string
	at := -1
	for line := range strings.Lines(p.text) {
		cells, isRow := cells(line)
		switch {
		case !isRow:
			at = -1
		case at < 0:
			// A header, or a row of a table without the title.
			if at = slices.Index(cells, title); at < 0 {
				at = len(cells)
			}
		case at < len(cells):
			for _, match := range span.FindAllStringSubmatch(cells[at], -1) {
				names = append(names, match[1])
			}
		}
	}
	return names
}

// cells splits a row of a table.
func cells(line string) ([]string, bool) {
	line = strings.TrimSpace(line)
	if len(line) < 2 || line[0] != '|' || line[len(line)-1] != '|' {
		return nil, false
	}
	cells := strings.Split(line[1:len(line)-1], "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells, true
}
