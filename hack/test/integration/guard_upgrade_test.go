package integration

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
)

// upgrade upgrades the release, with further values.
func (f *fixture) upgrade(t *testing.T, values map[string]any) {
	t.Helper()
	release := f.webhook.release
	release.Values = maps.Clone(release.Values)
	maps.Copy(release.Values, values)
	if err := release.Upgrade(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// A release from before the guards is upgraded. The webhook's exemption is
// written before the first guard, so the webhook writes NetworkPolicies all the
// time. No pod is replaced.
func TestUpgradeBringsTheGuards(t *testing.T) {
	namespace, unlocked := newNamespace(t, "client-a"), newAttacker(t, nil)
	pod := createPod(t, namespace, corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none"}}})
	before := shared.webhook.release
	before.PostRenderer = loopback{port: shared.webhook.port, keep: beforeGuards}
	if err := before.Upgrade(t.Context()); err != nil {
		t.Fatal(err)
	}
	if guards := listGuards(t); len(guards) > 0 {
		t.Fatalf("%d guards are left", len(guards))
	}
	// For a while, the API server still has the guards that were deleted, and the webhook is
	// without its exemption. They may refuse a request of the webhook.
	unlocked.requireLocked(t, remove(ownPolicyHead))
	eventually(t, "an egress rule to be admitted", func(ctx context.Context) (bool, string) {
		err := create(openPolicy)(ctx, unlocked.dryRun, unlocked.namespace)
		return err == nil, fmt.Sprint(err)
	})
	generation, logged := deploymentGeneration(t), shared.webhook.log()

	shared.upgrade(t, nil)

	var role rbacv1.ClusterRole
	if err := shared.client.Get(t.Context(), client.ObjectKey{Name: releaseName}, &role); err != nil {
		t.Fatal(err)
	}
	guards := listGuards(t)
	if len(guards) == 0 {
		t.Fatal("the upgrade brought no guard")
	}
	for _, guard := range guards {
		if revision(t, guard.ResourceVersion) < revision(t, role.ResourceVersion) {
			t.Errorf("guard %s is older than the webhook's exemption", guard.Name)
		}
	}
	requireRepair(t, namespace)
	if got := deploymentGeneration(t); got != generation {
		t.Errorf("the webhook's pods are replaced: generation %d, then %d", generation, got)
	}
	var after corev1.Pod
	if err := shared.client.Get(t.Context(), client.ObjectKeyFromObject(pod), &after); err != nil || after.UID != pod.UID {
		t.Errorf("the tenant's pod is not the one from before: %v", err)
	}
	if log, _ := strings.CutPrefix(shared.webhook.log(), logged); strings.Contains(log, "denied request") {
		t.Errorf("a guard refused a request of the webhook: %s", shared.cluster.Environment.Tail("webhook"))
	}
}

// beforeGuards removes the guards and the exemption from the manifests.
func beforeGuards(object *unstructured.Unstructured) bool {
	switch object.GetKind() {
	case "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding":
		return false
	case "ClusterRole":
		rules, _, err := unstructured.NestedSlice(object.Object, "rules")
		if err != nil {
			panic(err) // the chart's own manifest
		}
		rules = slices.DeleteFunc(rules, func(rule any) bool {
			verbs, _, _ := unstructured.NestedStringSlice(rule.(map[string]any), "verbs")
			return slices.Contains(verbs, names.VerbEnforce)
		})
		if err := unstructured.SetNestedSlice(object.Object, rules, "rules"); err != nil {
			panic(err)
		}
	}
	return true
}

func listGuards(t *testing.T) []admissionregistrationv1.ValidatingAdmissionPolicy {
	t.Helper()
	var list admissionregistrationv1.ValidatingAdmissionPolicyList
	if err := shared.client.List(t.Context(), &list, client.MatchingLabels{"app.kubernetes.io/instance": releaseName}); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func revision(t *testing.T, resourceVersion string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(resourceVersion, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func deploymentGeneration(t *testing.T) int64 {
	t.Helper()
	var deployment appsv1.Deployment
	if err := shared.client.Get(t.Context(), client.ObjectKey{Namespace: releaseNamespace, Name: releaseName}, &deployment); err != nil {
		t.Fatal(err)
	}
	return deployment.Generation
}

// requireRepair deletes the policy as the administrator and waits for its
// successor.
func requireRepair(t *testing.T, namespace string) {
	t.Helper()
	var policy, successor networkingv1.NetworkPolicy
	key := client.ObjectKey{Namespace: namespace, Name: names.PolicyName}
	if err := shared.client.Get(t.Context(), key, &policy); err != nil {
		t.Fatal(err)
	}
	if err := shared.client.Delete(t.Context(), policy.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the policy to be back", func(ctx context.Context) (bool, string) {
		err := shared.client.Get(ctx, key, &successor)
		return err == nil && successor.UID != policy.UID, fmt.Sprint(err)
	})
}
