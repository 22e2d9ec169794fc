package inject

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// TestEveryReasonHasAGolden demands a case for every reason of a pod.
func TestEveryReasonHasAGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.golden.yaml")
	if err != nil {
		t.Fatal(err)
	}
	shown := make(map[names.Reason]bool)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var result goldenResult
		if err := yaml.Unmarshal(text, &result); err != nil {
			t.Fatal(err)
		}
		shown[result.Decision.Reason] = true
	}
	shown[names.ReasonTooManyContainers] = true // by TestTooManyContainers
	for _, reason := range names.PodReasons() {
		if !shown[reason] {
			t.Errorf("no case of testdata shows %s", reason)
		}
		delete(shown, reason)
	}
	for reason := range shown {
		t.Errorf("%s is not among Reasons", reason)
	}
}

func TestTooManyContainers(t *testing.T) {
	namespace := Namespace{Name: "orders", Labels: map[string]string{names.LabelTenant: "client-a"}}
	pod := &Pod{Spec: Spec{
		InitContainers: make([]Container, 1), EphemeralContainers: make([]Container, 1), Containers: make([]Container, maxContainers-2),
	}}
	if got := Decide(pod, namespace, &v1alpha1.EgressTenant{}); got.Action != Inject {
		t.Errorf("%d containers: %+v", maxContainers, got)
	}
	pod.Spec.Containers = append(pod.Spec.Containers, Container{})
	if got := Decide(pod, namespace, &v1alpha1.EgressTenant{}); got.Reason != names.ReasonTooManyContainers || !strings.Contains(got.Message, "more than 1000 containers") {
		t.Errorf("%d containers: %+v", maxContainers+1, got)
	}
	pod.Metadata = &Metadata{Labels: labels{names.LabelInject: "false"}}
	if got := Decide(pod, namespace, &v1alpha1.EgressTenant{}); got.Action != Skip {
		t.Errorf("%d containers, opted out: %+v", maxContainers+1, got)
	}
}
