package docs_test

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docs/alerts.md has a section for each alert of the chart, with its severity, its
// impact, and how to look and to cure.
func TestAlerts(t *testing.T) {
	alert := regexp.MustCompile(`(?m)^ +- alert: (\w+)\n(?:.*\n)*?^ +labels: \{severity: (\w+)\}`)
	files, err := fs.Glob(repository(t), "charts/egress-webhook/rules/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, file := range files {
		for _, match := range alert.FindAllStringSubmatch(read(t, file), -1) {
			want = append(want, match[1]+" "+match[2])
		}
	}
	begin := regexp.MustCompile(`^(\w+)\n\nSeverity (\w+), `)
	for _, section := range strings.Split(read(t, "docs/alerts.md"), "\n### ")[1:] {
		match := begin.FindStringSubmatch(section)
		if match == nil {
			t.Errorf("a section of docs/alerts.md does not begin with an alert and its severity:\n%.100s", section)
			continue
		}
		got = append(got, match[1]+" "+match[2])
		for _, part := range []string{"Impact", "Look", "Cure"} {
			if strings.Count(section, "\n- **"+part+":** ") != 1 {
				t.Errorf("docs/alerts.md: %s has not one part %s", match[1], part)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) == 0 || !slices.Equal(want, got) {
		t.Errorf("docs/alerts.md describes\n%q\nthe chart has\n%q", got, want)
	}
}
