package chart_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"egress.scw/webhook/api/names"
)

// allMonitoring are values that switch all objects of monitoring on.
const allMonitoring = minimalValues + `
monitoring:
  podMonitor: {enabled: true}
  scrapeConfig: {enabled: true}
  rules: {enabled: true}
  dashboards: {enabled: true}
`

// Without values, the chart needs no kind that a cluster may lack.
func TestMonitoringIsOffByDefault(t *testing.T) {
	r := mustInstall(t, minimalValues)
	if strings.Contains(r.manifest, "monitoring.coreos.com") || strings.Contains(r.manifest, "grafana_dashboard") {
		t.Errorf("the chart renders objects of monitoring:\n%s", r.manifest)
	}
}

// The PodMonitor selects the webhook's pods and their port of metrics. The job is that
// of the alert rules.
func TestPodMonitor(t *testing.T) {
	r := mustInstall(t, allMonitoring)
	monitor, pod := only[*monitoringv1.PodMonitor](t, r), only[*appsv1.Deployment](t, r).Spec.Template
	selector, err := metav1.LabelSelectorAsSelector(&monitor.Spec.Selector)
	if err != nil || !selector.Matches(labels.Set(pod.Labels)) {
		t.Errorf("%v does not select the webhook's pods: %v", monitor.Spec.Selector, err)
	}
	if len(monitor.Spec.PodMetricsEndpoints) != 1 || monitor.Spec.PodMetricsEndpoints[0].Port == nil {
		t.Fatalf("endpoints %v, want one by the name of its port", monitor.Spec.PodMetricsEndpoints)
	}
	named := func(port corev1.ContainerPort) bool { return port.Name == *monitor.Spec.PodMetricsEndpoints[0].Port }
	if !slices.ContainsFunc(pod.Spec.Containers[0].Ports, named) {
		t.Errorf("the pod has no port %s", *monitor.Spec.PodMetricsEndpoints[0].Port)
	}
	if job := pod.Labels[monitor.Spec.JobLabel]; job != "egress-webhook" {
		t.Errorf("the job is %q", job)
	}
}

// The ScrapeConfig has the ports with metrics of each machine, by default those of the
// value proxy.addresses.
func TestScrapeConfig(t *testing.T) {
	for addresses, want := range map[string][]string{
		"":                          {"172.16.28.8"},
		"['2001:db8::8', 10.0.0.9]": {"[2001:db8::8]", "10.0.0.9"},
	} {
		values := allMonitoring
		if addresses != "" {
			values = strings.Replace(values, "scrapeConfig: {", "scrapeConfig: {addresses: "+addresses+", ", 1)
		}
		config := only[*monitoringv1alpha1.ScrapeConfig](t, mustInstall(t, values))
		var targets []string
		for _, address := range want {
			for _, port := range []int{names.TenantMetricsPort, names.MachineMetricsPort, names.SquidMetricsPort} {
				targets = append(targets, fmt.Sprintf("%s:%d", address, port))
			}
		}
		var got []string
		for _, static := range config.Spec.StaticConfigs {
			for _, target := range static.Targets {
				got = append(got, string(target))
			}
		}
		if !slices.Equal(got, targets) {
			t.Errorf("targets %q, want %q", got, targets)
		}
		if config.Spec.JobName == nil || *config.Spec.JobName != "egress-proxy" {
			t.Errorf("the job is %v", config.Spec.JobName)
		}
	}
}

// An alert that is disabled is left out, and no other.
func TestDisabledAlerts(t *testing.T) {
	alerts := func(values string) []string {
		var all []string
		for _, group := range only[*monitoringv1.PrometheusRule](t, mustInstall(t, values)).Spec.Groups {
			for _, rule := range group.Rules {
				all = append(all, rule.Alert)
			}
		}
		return all
	}
	all := alerts(allMonitoring)
	some := alerts(strings.Replace(allMonitoring, "rules: {", "rules: {disabled: [EgressWouldBeDenied], ", 1))
	want := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return name == "EgressWouldBeDenied" })
	if len(want) != len(all)-1 || !slices.Equal(some, want) {
		t.Errorf("alerts %q of %q", some, all)
	}
}

// Each dashboard is in a ConfigMap with the label of Grafana's sidecar, and those of the
// values.
func TestDashboardObjects(t *testing.T) {
	values := strings.Replace(allMonitoring, "dashboards: {", "dashboards: {labels: {team: platform}, annotations: {grafana_folder: Egress}, ", 1)
	found := map[string]bool{}
	for _, configMap := range all[*corev1.ConfigMap](mustInstall(t, values)) {
		if configMap.Labels["grafana_dashboard"] != "1" {
			continue
		}
		if configMap.Labels["team"] != "platform" || configMap.Annotations["grafana_folder"] != "Egress" {
			t.Errorf("%s has labels %v and annotations %v", configMap.Name, configMap.Labels, configMap.Annotations)
		}
		for file, text := range configMap.Data {
			found[file] = json.Valid([]byte(text))
		}
	}
	if want := map[string]bool{"egress-overview.json": true, "egress-tenant.json": true}; !maps.Equal(found, want) {
		t.Errorf("dashboards %v, want %v", found, want)
	}
}
