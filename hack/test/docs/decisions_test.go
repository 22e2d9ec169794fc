package docs_test

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"testing"
)

// Each decision has its number, date and status, and a row in the index.
func TestDecisions(t *testing.T) {
	head := regexp.MustCompile(`^# (\d+)\. (.+)\n\nDate: (\d{4}-\d{2}-\d{2})\. Status: (accepted|superseded by \[[^]]+\]\([^)]+\))\.\n`)
	index := read(t, "docs/adr/README.md")
	found := 0
	for _, p := range documentation(t) {
		name := path.Base(p.path)
		if path.Dir(p.path) != "docs/adr" || name == "README.md" {
			continue
		}
		found++
		match := head.FindStringSubmatch(p.text)
		if match == nil {
			t.Errorf("%s does not begin with a numbered title, a date and a status", p.path)
			continue
		}
		if number := fmt.Sprintf("%04s-", match[1]); !strings.HasPrefix(name, number) {
			t.Errorf("%s has the number %s in its title", p.path, match[1])
		}
		if row := fmt.Sprintf("| %s | [%s](%s) | %s | %s |\n", match[1], match[2], name, match[3], match[4]); !strings.Contains(index, row) {
			t.Errorf("docs/adr/README.md lacks the row %s", row)
		}
	}
	if found == 0 {
		t.Error("no decision found: the test looks in the wrong folder")
	}
}
