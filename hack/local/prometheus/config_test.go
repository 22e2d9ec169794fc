package prometheus_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"egress.scw/hack/local/prometheus"
)

func TestAdapt(t *testing.T) {
	pod := func(namespace, address string) corev1.Pod {
		p := corev1.Pod{Status: corev1.PodStatus{PodIP: address}}
		p.Namespace, p.Name, p.Labels = namespace, "web", map[string]string{"app.kubernetes.io/name": "web"}
		p.Spec.Containers = []corev1.Container{{Name: "main", Ports: []corev1.ContainerPort{{Name: "metrics", ContainerPort: 8080}}}}
		return p
	}
	got, err := prometheus.Adapt([]byte(`
global: {scrape_interval: 30s}
scrape_configs:
  - {job_name: pods, kubernetes_sd_configs: [{role: pod, namespaces: {names: [one]}}]}
  - {job_name: other, static_configs: [{targets: ["10.0.0.9:1"]}]}
`), []corev1.Pod{pod("one", "10.0.0.1"), pod("other", "10.0.0.2"), pod("one", "")}, "5s")
	if err != nil {
		t.Fatal(err)
	}
	want := `global:
  evaluation_interval: 5s
  scrape_interval: 5s
scrape_configs:
- job_name: pods
  static_configs:
  - labels:
      __meta_kubernetes_namespace: one
      __meta_kubernetes_pod_container_name: main
      __meta_kubernetes_pod_container_port_name: metrics
      __meta_kubernetes_pod_label_app_kubernetes_io_name: web
      __meta_kubernetes_pod_name: web
    targets:
    - 10.0.0.1:8080
- job_name: other
  static_configs:
  - targets:
    - 10.0.0.9:1
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestUnknownDiscovery(t *testing.T) {
	for discovery, want := range map[string]string{
		"{role: service, namespaces: {names: [one]}}": `role "service"`,
		"{role: pod}":                                            "at least one namespace",
		"{role: pod, namespace: {names: [one]}}":                 `unknown field "namespace"`,
		"{role: pod, namespaces: {names: [one]}, selectors: []}": `unknown field "selectors"`,
	} {
		_, err := prometheus.Adapt([]byte("scrape_configs: [{kubernetes_sd_configs: ["+discovery+"]}]"), nil, "5s")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "scrape_configs[0].kubernetes_sd_configs: ") {
			t.Errorf("%s: %v, want %q", discovery, err, want)
		}
	}
}
