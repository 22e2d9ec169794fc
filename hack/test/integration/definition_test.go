package integration

import (
	"context"
	"os/exec"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestDefinitionBeforeItsUse: the Job before an upgrade returns when the API server
// accepts a field that is new. The definition of before is that of today without
// the field. The Job's process is run here, because kwok runs no containers.
func TestDefinitionBeforeItsUse(t *testing.T) {
	changeDefinition(t, func(spec map[string]any) { delete(spec, "nodePool") })
	withNewField := func(ctx context.Context) error {
		object := tenant("definition", 3254)
		content := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "egress.scw/v1alpha1", "kind": "EgressTenant", "metadata": map[string]any{"name": object.Name},
			"spec": map[string]any{"path": "Gateway", "nodePool": map[string]any{"nodeSelector": map[string]any{"pool": "a"}}},
		}}
		return shared.client.Create(ctx, content, client.DryRunAll, client.FieldValidation("Strict"))
	}
	eventually(t, "the API server to refuse the field", func(ctx context.Context) (bool, string) {
		return withNewField(ctx) != nil, "it is accepted"
	})

	job := exec.CommandContext(t.Context(), shared.webhook.command.Path, "--apply-definition")
	job.Env = []string{"KUBECONFIG=" + shared.cluster.Kubeconfig("admin")}
	if output, err := job.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if err := withNewField(t.Context()); err != nil {
		t.Errorf("after the Job: %v", err)
	}
}
