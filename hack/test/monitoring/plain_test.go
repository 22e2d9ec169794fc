package monitoring

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"egress.scw/hack/local/prometheus"
)

// The configuration for a Prometheus without the operator is valid with the rules of the
// chart, and has the targets, jobs and interval of the chart's objects for the operator.
func TestPlainConfiguration(t *testing.T) {
	requirePrograms(t, "promtool")
	published, err := os.ReadFile("../../../docs/monitoring/prometheus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Global struct {
			ScrapeInterval monitoringv1.Duration `json:"scrape_interval"`
		} `json:"global"`
		Jobs []struct {
			Name string `json:"job_name"`
		} `json:"scrape_configs"`
	}
	if err := yaml.Unmarshal(published, &file); err != nil {
		t.Fatal(err)
	}
	pods := chartPods(t)
	config, err := prometheus.Adapt(published, pods, string(file.Global.ScrapeInterval))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yaml"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "rules"), os.DirFS("../../../charts/egress-webhook/rules")); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "config", filepath.Join(dir, "prometheus.yaml"))
	var got []string
	for _, job := range file.Jobs {
		got = append(got, discovered(t, filepath.Join(dir, "prometheus.yaml"), job.Name)...)
	}
	want, intervals := operatorTargets(t, pods)
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" || len(want) < 5 {
		t.Errorf("targets (-operator +plain):\n%s\nall: %v", diff, want)
	}
	for _, interval := range intervals {
		if interval != file.Global.ScrapeInterval {
			t.Errorf("the interval is %s, and that of an object of the chart %s", file.Global.ScrapeInterval, interval)
		}
	}
}

// promtool runs the program and returns its standard output.
func promtool(t *testing.T, args ...string) []byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), "promtool", args...)
	var problems strings.Builder
	command.Stderr = &problems
	output, err := command.Output()
	if err != nil {
		t.Fatalf("promtool %v: %v\n%s%s", args, err, output, problems.String())
	}
	return output
}

// discovered returns the targets of a job after their relabelling, each as JOB ADDRESS.
func discovered(t *testing.T, config, job string) []string {
	t.Helper()
	var found []struct {
		Labels map[string]string `json:"labels"`
	}
	// The program always waits for the whole timeout, in which a busy machine may have
	// found nothing.
	for _, timeout := range []string{"1s", "30s"} {
		if err := json.Unmarshal(promtool(t, "check", "service-discovery", "--timeout="+timeout, config, job), &found); err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			break
		}
	}
	var targets []string
	for _, target := range found {
		if len(target.Labels) > 0 { // the others are dropped
			targets = append(targets, target.Labels["job"]+" "+target.Labels["__address__"])
		}
	}
	return targets
}

// chartPods returns a pod for each Deployment of the chart, and one with the labels of
// the webhook in another namespace.
func chartPods(t *testing.T) []corev1.Pod {
	t.Helper()
	var pods []corev1.Pod
	for i, document := range Documents(t, "Deployment") {
		var deployment appsv1.Deployment
		if err := yaml.UnmarshalStrict(document, &deployment); err != nil {
			t.Fatal(err)
		}
		pod := corev1.Pod{ObjectMeta: deployment.Spec.Template.ObjectMeta, Spec: deployment.Spec.Template.Spec}
		pod.Namespace, pod.Name, pod.Status.PodIP = deployment.Namespace, deployment.Name, fmt.Sprintf("10.244.0.%d", i+1)
		pods = append(pods, pod)
	}
	foreign := *pods[0].DeepCopy()
	foreign.Namespace, foreign.Status.PodIP = "tools", "10.244.0.200"
	return append(pods, foreign)
}

// operatorTargets returns the targets that the operator makes of the chart's PodMonitors
// and ScrapeConfig, each as JOB ADDRESS, and the intervals.
func operatorTargets(t *testing.T, pods []corev1.Pod) (targets []string, intervals []monitoringv1.Duration) {
	t.Helper()
	for _, document := range Documents(t, "PodMonitor") {
		var monitor monitoringv1.PodMonitor
		if err := yaml.UnmarshalStrict(document, &monitor); err != nil {
			t.Fatal(err)
		}
		selector, err := metav1.LabelSelectorAsSelector(&monitor.Spec.Selector)
		if err != nil {
			t.Fatal(err)
		}
		for _, endpoint := range monitor.Spec.PodMetricsEndpoints {
			intervals = append(intervals, endpoint.Interval)
			for _, pod := range pods {
				if pod.Namespace != monitor.Namespace || !selector.Matches(labels.Set(pod.Labels)) {
					continue
				}
				for _, port := range pod.Spec.Containers[0].Ports {
					if port.Name == *endpoint.Port {
						targets = append(targets, fmt.Sprintf("%s %s:%d", pod.Labels[monitor.Spec.JobLabel], pod.Status.PodIP, port.ContainerPort))
					}
				}
			}
		}
	}
	for _, document := range Documents(t, "ScrapeConfig") {
		var config monitoringv1alpha1.ScrapeConfig
		if err := yaml.UnmarshalStrict(document, &config); err != nil {
			t.Fatal(err)
		}
		intervals = append(intervals, *config.Spec.ScrapeInterval)
		for _, static := range config.Spec.StaticConfigs {
			for _, target := range static.Targets {
				targets = append(targets, *config.Spec.JobName+" "+string(target))
			}
		}
	}
	return targets, intervals
}
