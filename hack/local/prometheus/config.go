// Package prometheus adapts the configuration that is published for a Prometheus in the
// cluster (docs/monitoring) to the Prometheus of Debian, which is built without the
// discovery of pods.
package prometheus

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// discovery is an element of kubernetes_sd_configs, as far as Adapt knows it.
type discovery struct {
	Role       string `json:"role"`
	Namespaces struct {
		Names []string `json:"names"`
	} `json:"namespaces"`
}

// static is an element of static_configs.
type static struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// Adapt returns the configuration with the pods in place of their discovery, and with
// this interval of scrapes and evaluations. The pods' ports are targets with the labels of
// discovered ones, as far as the configuration may use them. Unknown fields of
// kubernetes_sd_configs are errors.
func Adapt(config []byte, pods []corev1.Pod, interval string) ([]byte, error) {
	var parsed map[string]any
	if err := yaml.UnmarshalStrict(config, &parsed); err != nil {
		return nil, err
	}
	parsed["global"] = map[string]string{"scrape_interval": interval, "evaluation_interval": interval}
	jobs, _ := parsed["scrape_configs"].([]any)
	for i := range jobs {
		job, _ := jobs[i].(map[string]any)
		discovered, found := job["kubernetes_sd_configs"]
		if !found {
			continue
		}
		targets, err := discover(discovered, pods)
		if err != nil {
			return nil, fmt.Errorf("scrape_configs[%d].kubernetes_sd_configs: %w", i, err)
		}
		delete(job, "kubernetes_sd_configs")
		job["static_configs"] = targets
	}
	return yaml.Marshal(parsed)
}

// discover returns the targets of the elements of kubernetes_sd_configs.
func discover(elements any, pods []corev1.Pod) ([]static, error) {
	text, err := json.Marshal(elements)
	if err != nil {
		return nil, err
	}
	var all []discovery
	if err := yaml.UnmarshalStrict(text, &all); err != nil {
		return nil, err
	}
	targets := []static{}
	for i, d := range all {
		if d.Role != "pod" || len(d.Namespaces.Names) == 0 {
			return nil, fmt.Errorf("[%d]: has the role %q and the namespaces %q, want pod, and at least one namespace", i, d.Role, d.Namespaces.Names)
		}
		for j := range pods {
			if slices.Contains(d.Namespaces.Names, pods[j].Namespace) {
				targets = append(targets, targetsOf(&pods[j])...)
			}
		}
	}
	return targets, nil
}

// noLabel matches the characters that labels of Prometheus do not have.
var noLabel = regexp.MustCompile(`[^a-zA-Z0-9_]`)

// targetsOf returns a target for each port of a pod that has an address.
func targetsOf(pod *corev1.Pod) []static {
	var targets []static
	if pod.Status.PodIP == "" {
		return nil
	}
	const meta = "__meta_kubernetes_"
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			labels := map[string]string{
				meta + "namespace": pod.Namespace, meta + "pod_name": pod.Name,
				meta + "pod_container_name": container.Name, meta + "pod_container_port_name": port.Name,
			}
			for name, value := range pod.Labels {
				labels[meta+"pod_label_"+noLabel.ReplaceAllString(name, "_")] = value
			}
			targets = append(targets, static{[]string{pod.Status.PodIP + ":" + strconv.Itoa(int(port.ContainerPort))}, labels})
		}
	}
	return targets
}
