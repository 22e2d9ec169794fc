package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// While no replica of the webhook runs, the policy cannot be deleted, also where the
// guard is off for the attacker. Whoever is exempt from the webhook's refusal opens
// the namespace until a replica leads again.
func TestPolicyIsLockedWithoutReplicas(t *testing.T) {
	requireEnvironment(t)
	a := newAttacker(t, "e2e-attack-away", "client-a")
	guard, webhook := byGuard("own-policy"), byWebhook()
	guard.lift(t, a)
	waitRefusal(t, a, webhook)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		scaleWebhook(ctx, t, 2)
		if _, err := kubectl(ctx, "--namespace=egress-system", "rollout", "status", "deployment/egress-webhook", "--timeout=300s"); err != nil {
			t.Error(err)
		}
	})
	scaleWebhook(t.Context(), t, 0)
	eventually(t, "the replicas to end", func() (bool, string) {
		out, err := kubectl(t.Context(), "--namespace=egress-system", "get", "pods", "-l", "app.kubernetes.io/name=egress-webhook", "-o", "name")
		return err == nil && out == "", fmt.Sprintf("%q %v", out, err)
	})

	policies := a.client(t).NetworkingV1().NetworkPolicies(a.namespace)
	remove := func() error { return policies.Delete(t.Context(), "egress-scw", metav1.DeleteOptions{}) }
	if err := remove(); err == nil || !strings.Contains(err.Error(), `failed calling webhook "policies.egress.scw"`) {
		t.Errorf("%v; want a refusal because the webhook does not answer", err)
	}
	webhook.lift(t, a)
	eventually(t, "the deletion to be accepted", func() (bool, string) {
		err := remove()
		return err == nil || apierrors.IsNotFound(err), fmt.Sprint(err)
	})
	requireOpen(t, a)
	scaleWebhook(t.Context(), t, 2)
	waitPolicy(t, a.namespace, true)
}

func scaleWebhook(ctx context.Context, t *testing.T, replicas int) {
	t.Helper()
	if _, err := kubectl(ctx, "--namespace=egress-system", "scale", "deployment/egress-webhook", fmt.Sprintf("--replicas=%d", replicas)); err != nil {
		t.Error(err)
	}
}
