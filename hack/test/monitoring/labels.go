package monitoring

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// used matches the metrics of a program that rules and dashboards may use: the
// product's own, and some of its libraries'.
var used = regexp.MustCompile(`^(egress_|certwatcher_read_certificate_errors_total|controller_runtime_reconcile_errors_total|leader_election_master_status)`)

// Record returns the series of a scrape that rules and dashboards may use, sorted.
func Record(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if used.MatchString(line) {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

var (
	metric = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? \S+$`)
	label  = regexp.MustCompile(`([a-zA-Z_]\w*)="(?:[^"\\]|\\.)*"`)
)

// Labels returns the names of the labels of each metric in a scrape.
func Labels(text string) (map[string]map[string]bool, error) {
	labels := map[string]map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		match := metric.FindStringSubmatch(line)
		if match == nil {
			return nil, fmt.Errorf("not a line of Prometheus' text format: %q", line)
		}
		if labels[match[1]] == nil {
			labels[match[1]] = map[string]bool{}
		}
		for _, name := range label.FindAllStringSubmatch(match[2], -1) {
			labels[match[1]][name[1]] = true
		}
	}
	return labels, nil
}
