package monitoring

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	grafanaprometheus "github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/prometheus/prometheus/promql/parser"

	"egress.scw/webhook/api/names"
)

// vocabulary returns the metrics that rules and dashboards may use, with their labels.
func vocabulary(t *testing.T) map[string]map[string]bool {
	t.Helper()
	all := map[string]map[string]bool{
		// Prometheus' own.
		"up": {}, "ALERTS": {"alertname": true, "alertstate": true, "severity": true, "tenant": true, "reason": true},
		// The webhook of the integration tests has no proxy.
		names.MetricProxyReachable: {"tenant": true, "proxy": true},
		names.MetricProxyUp:        {"proxy": true},
		// mtail exports it once it cannot open a log.
		"mtail_log_errors_total": {"logfile": true},
	}
	for _, text := range recorded(t) {
		labels, err := Labels(text)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(all, labels)
	}
	for _, labels := range all {
		labels["job"], labels["instance"] = true, true
	}
	return all
}

// query is an expression of a rule or a dashboard, with the place where it is.
type query struct{ place, expression string }

func queries(t *testing.T) []query {
	t.Helper()
	var all []query
	for _, group := range RuleObject(t).Spec.Groups {
		for _, rule := range group.Rules {
			all = append(all, query{rule.Alert, rule.Expr.String()})
		}
	}
	for file, panels := range panels(t) {
		for _, panel := range panels {
			for _, target := range panel.Targets {
				all = append(all, query{file + ": " + panel.Title, filled(target.Expr)})
			}
		}
	}
	return all
}

type panel struct {
	Title   string `json:"title"`
	Type    string `json:"type"`
	Targets []struct {
		Expr         string `json:"expr"`
		LegendFormat string `json:"legendFormat"`
	} `json:"targets"`
}

func panels(t *testing.T) map[string][]panel {
	t.Helper()
	all := map[string][]panel{}
	for file, text := range Dashboards(t) {
		var d struct {
			Panels []panel `json:"panels"`
		}
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Fatal(err)
		}
		all[file] = d.Panels
	}
	return all
}

// filled replaces Grafana's variables.
func filled(expression string) string {
	return strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h", "$tenant", "client-a").Replace(expression)
}

// Each metric in rules and dashboards is exported, with each label that is selected or
// grouped by.
func TestMetricsAndLabelsExist(t *testing.T) {
	known := vocabulary(t)
	for _, q := range queries(t) {
		metrics, labels, err := usedBy(q.expression)
		if err != nil {
			t.Errorf("%s: %v in %s", q.place, err, q.expression)
			continue
		}
		if len(metrics) == 0 {
			t.Errorf("%s: no metric in %s", q.place, q.expression)
		}
		for name, selected := range metrics {
			if known[name] == nil {
				t.Errorf("%s: no program exports %s", q.place, name)
				continue
			}
			for _, label := range selected {
				if !known[name][label] {
					t.Errorf("%s: %s has no label %s", q.place, name, label)
				}
			}
		}
		for _, label := range labels {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(metrics)), func(name string) bool { return known[name][label] }) {
				t.Errorf("%s: no metric of the query has the label %s: %s", q.place, label, q.expression)
			}
		}
	}
}

// usedBy returns the metrics of an expression with the labels that select their series,
// and the labels by which it groups.
func usedBy(expression string) (metrics map[string][]string, labels []string, err error) {
	parsed, err := parser.ParseExpr(expression)
	if err != nil {
		return nil, nil, err
	}
	metrics = map[string][]string{}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		switch node := node.(type) {
		case *parser.VectorSelector:
			selected := metrics[node.Name]
			for _, matcher := range node.LabelMatchers {
				if matcher.Name != "__name__" {
					selected = append(selected, matcher.Name)
				}
			}
			metrics[node.Name] = selected
		case *parser.AggregateExpr:
			labels = append(labels, node.Grouping...)
		case *parser.BinaryExpr:
			if node.VectorMatching != nil {
				labels = append(labels, node.VectorMatching.MatchingLabels...)
			}
		}
		return nil
	})
	return metrics, labels, nil
}

// Grafana reads the dashboards: they have no field that its published types do not
// have, and all fields have valid values. Every panel has a description. The legend
// contains labels of the query's result.
func TestDashboardsAreValid(t *testing.T) {
	runtime := cog.NewRuntime()
	runtime.RegisterPanelcfgVariant(stat.VariantConfig())
	runtime.RegisterPanelcfgVariant(table.VariantConfig())
	runtime.RegisterPanelcfgVariant(timeseries.VariantConfig())
	runtime.RegisterDataqueryVariant(grafanaprometheus.VariantConfig())
	uids := map[string]string{}
	for file, text := range Dashboards(t) {
		var d dashboard.Dashboard //nolint:staticcheck // Grafana's provisioning from files reads this version of the schema
		// Without errors, the method returns an empty list of them, which is not nil.
		var found cog.BuildErrors
		if err := d.UnmarshalJSONStrict([]byte(text)); !errors.As(err, &found) || len(found) > 0 {
			t.Errorf("%s: %v", file, err)
		}
		if err := d.Validate(); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if d.Uid == nil || uids[*d.Uid] != "" {
			t.Fatalf("%s has no uid, or that of another dashboard", file)
		}
		uids[*d.Uid] = file
		requirePanels(t, file, d.Panels)
		for _, link := range d.Links {
			if !slices.Contains([]string{"/d/egress-overview", "/d/egress-tenant"}, *link.Url) {
				t.Errorf("%s: a link leads to %s", file, *link.Url)
			}
		}
	}
	for _, uid := range []string{"egress-overview", "egress-tenant"} {
		if uids[uid] == "" {
			t.Errorf("there is no dashboard %s", uid)
		}
	}
	legend := regexp.MustCompile(`\{\{(\w+)\}\}`)
	for file, panels := range panels(t) {
		for _, panel := range panels {
			for _, target := range panel.Targets {
				_, labels, err := usedBy(filled(target.Expr))
				if err != nil {
					t.Fatal(err)
				}
				for _, match := range legend.FindAllStringSubmatch(target.LegendFormat, -1) {
					if name := match[1]; !slices.Contains(append(labels, "instance", "proxy"), name) {
						t.Errorf("%s: the legend of %s has the label %s, by which %s does not group", file, panel.Title, name, target.Expr)
					}
				}
			}
		}
	}
}

// requirePanels requires titles, descriptions and positions that do not overlap.
func requirePanels(t *testing.T, file string, panels []dashboard.PanelOrRowPanel) {
	t.Helper()
	taken, ids := map[string]string{}, map[uint32]bool{}
	for _, each := range panels {
		panel := each.Panel
		if panel == nil {
			continue
		}
		if panel.Title == nil || panel.Description == nil || *panel.Description == "" || panel.GridPos == nil || panel.Id == nil || ids[*panel.Id] {
			t.Errorf("%s: a panel without title, description, position, or an id of its own: %+v", file, panel)
			continue
		}
		ids[*panel.Id] = true
		for x := panel.GridPos.X; x < panel.GridPos.X+panel.GridPos.W; x++ {
			for y := panel.GridPos.Y; y < panel.GridPos.Y+panel.GridPos.H; y++ {
				at := fmt.Sprint(x, ",", y)
				if x >= 24 || taken[at] != "" {
					t.Fatalf("%s: the panel %s is outside of the grid, or on %q", file, *panel.Title, taken[at])
				}
				taken[at] = *panel.Title
			}
		}
	}
}
