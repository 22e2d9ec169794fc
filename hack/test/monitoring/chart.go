package monitoring

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	_ "egress.scw/charts" // invalidates Go's cached test results when the chart changes
	"egress.scw/hack/local/helm"
)

// values are those of an installation with all objects of monitoring.
func values() map[string]any {
	enabled := map[string]any{"enabled": true}
	return map[string]any{
		"proxy": map[string]any{"addresses": []any{"172.16.28.8"}},
		"watch": map[string]any{"enabled": true, "config": map[string]any{"configMap": "egress-config"}, "credentials": "egress-bootstrap"},
		"monitoring": map[string]any{
			"podMonitor": enabled, "scrapeConfig": enabled, "dashboards": enabled,
			"rules": map[string]any{"enabled": true, "runbookURL": "https://git.example.com/egress/docs/alerts.md"},
		},
	}
}

// Documents renders the chart with all objects of monitoring, and returns its objects
// of a kind.
func Documents(t *testing.T, kind string) [][]byte {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	release := helm.Release{
		Name: "egress-webhook", Namespace: "egress-system", Values: values(),
		Chart: filepath.Join(filepath.Dir(here), "../../../charts/egress-webhook"),
	}
	manifest, err := release.Template(t.Context(), "v1.37.2")
	if err != nil {
		t.Fatal(err)
	}
	var found [][]byte
	reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(manifest)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var object struct {
			Kind string `json:"kind"`
		}
		if err := yaml.Unmarshal(document, &object); err != nil {
			t.Fatal(err)
		}
		if object.Kind == kind {
			found = append(found, document)
		}
	}
	return found
}

// RuleObject returns the chart's PrometheusRule.
func RuleObject(t *testing.T) *monitoringv1.PrometheusRule {
	t.Helper()
	found := Documents(t, "PrometheusRule")
	if len(found) != 1 {
		t.Fatalf("the chart renders %d PrometheusRules, want 1", len(found))
	}
	rule := &monitoringv1.PrometheusRule{}
	if err := yaml.UnmarshalStrict(found[0], rule); err != nil {
		t.Fatal(err)
	}
	return rule
}

// Rules returns the alert rules of the chart, as the contents of a rule file.
func Rules(t *testing.T) []byte {
	t.Helper()
	rules, err := yaml.Marshal(RuleObject(t).Spec)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// Dashboards returns the dashboards in the chart's ConfigMaps, by the name of their
// file.
func Dashboards(t *testing.T) map[string]string {
	t.Helper()
	dashboards := map[string]string{}
	for _, document := range Documents(t, "ConfigMap") {
		var configMap corev1.ConfigMap
		if err := yaml.UnmarshalStrict(document, &configMap); err != nil {
			t.Fatal(err)
		}
		if configMap.Labels["grafana_dashboard"] != "1" {
			continue
		}
		maps.Copy(dashboards, configMap.Data)
	}
	if len(dashboards) == 0 {
		t.Fatal("the chart renders no dashboard")
	}
	return dashboards
}
