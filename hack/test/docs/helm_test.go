package docs_test

import (
	"regexp"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/strvals"
)

var (
	// installation is a command that installs or upgrades the chart of the checkout.
	installation = regexp.MustCompile(`helm (?:install|upgrade) [^\n]*charts/egress-webhook[^\n]*`)
	setValue     = regexp.MustCompile(`--set[ =](\S+)`)
)

// The chart accepts the values that commands on the pages set.
func TestHelmCommands(t *testing.T) {
	found := 0
	for _, p := range documentation(t) {
		blocks, _ := p.blocks(t)
		for _, b := range blocks {
			for _, command := range installation.FindAllString(strings.ReplaceAll(b.text, "\\\n", " "), -1) {
				values := map[string]any{"proxy": map[string]any{"addresses": []any{"172.16.28.8"}}}
				for _, set := range setValue.FindAllStringSubmatch(command, -1) {
					found++
					text := strings.ReplaceAll(strings.Trim(set[1], `'"`), "/NAMESPACE/", "/namespace/") // a placeholder
					if err := strvals.ParseInto(text, values); err != nil {
						t.Errorf("%s:%d: %s: %v", p.path, b.line, command, err)
					}
				}
				if _, err := renderChart(t, values); err != nil {
					t.Errorf("%s:%d: %s: the chart refuses the values: %v", p.path, b.line, command, err)
				}
			}
		}
	}
	if found < 2 {
		t.Errorf("%d values found: the test searches in the wrong way", found)
	}
}
