package integration

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A client changes a field of the chart. Helm 4 applies server-side, and the next
// upgrade fails with the sentence that the documentation explains. Forced once, it
// takes the field back, and later upgrades succeed.
func TestUpgradeAfterScaling(t *testing.T) {
	before := replicas(t)
	if _, err := shared.cluster.Kubectl(t.Context(), nil, "--namespace="+releaseNamespace, "scale", "deployment", releaseName, "--replicas=3"); err != nil {
		t.Fatal(err)
	}
	release := shared.webhook.release
	t.Cleanup(func() { shared.upgrade(t, nil) })
	err := release.Upgrade(t.Context())
	if err == nil || !strings.Contains(err.Error(), `conflict with "kubectl"`) || !strings.Contains(err.Error(), ".spec.replicas") {
		t.Errorf("the upgrade after kubectl scale: %v; want the conflict", err)
	}
	if got := replicas(t); got != 3 {
		t.Errorf("%d replicas after the upgrade that failed", got)
	}

	release.ForceConflicts = true
	if err := release.Upgrade(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := replicas(t); got != before {
		t.Errorf("%d replicas after the forced upgrade, before %d", got, before)
	}
	release.ForceConflicts = false
	if err := release.Upgrade(t.Context()); err != nil {
		t.Errorf("the upgrade after the forced one: %v", err)
	}
}

func replicas(t *testing.T) int32 {
	t.Helper()
	var deployment appsv1.Deployment
	if err := shared.client.Get(t.Context(), client.ObjectKey{Namespace: releaseNamespace, Name: releaseName}, &deployment); err != nil {
		t.Fatal(err)
	}
	return *deployment.Spec.Replicas
}
