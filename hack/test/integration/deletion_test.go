package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
)

// Before Kubernetes 1.33, the NetworkPolicy of a namespace that is deleted may be
// deleted while pods run. This API server deletes the pods first, so the test deletes
// the policy, with the chart as it is for Kubernetes 1.32. As a control, the policy
// of a namespace that is deleted without the chart of 1.32 is gone at once.
func TestPolicyOutlivesThePods(t *testing.T) {
	unordered, pod := deletedNamespace(t)
	deletePolicy(t, unordered)
	eventually(t, "the policy to go at once", func(ctx context.Context) (bool, string) { return policyGone(ctx, unordered) })
	releasePod(t, pod)

	installFor(t, "v1.32.9")
	namespace, pod := deletedNamespace(t)
	deletePolicy(t, namespace)
	time.Sleep(5 * time.Second) // twice the interval at which the leader looks for pods
	if gone, state := policyGone(t.Context(), namespace); gone {
		t.Errorf("the policy went before the pod: %s", state)
	}
	releasePod(t, pod)
	eventually(t, "the policy to go with the pods", func(ctx context.Context) (bool, string) { return policyGone(ctx, namespace) })
	eventually(t, "the namespace to go", func(ctx context.Context) (bool, string) {
		err := shared.client.Get(ctx, client.ObjectKey{Name: namespace}, &corev1.Namespace{})
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
}

// The chart for Kubernetes 1.33 has no right to list pods. A namespace ends nevertheless
// if its policy has the finalizer from the chart of before.
func TestPolicyOfAnEarlierKubernetesIsReleased(t *testing.T) {
	namespace := newNamespace(t, "client-a")
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: names.PolicyName}}
	finalizer := []byte(`{"metadata":{"finalizers":["` + names.FinalizerPods + `"]}}`)
	eventually(t, "the policy", func(ctx context.Context) (bool, string) {
		err := shared.client.Patch(ctx, policy, client.RawPatch(types.MergePatchType, finalizer))
		return err == nil, fmt.Sprint(err)
	})
	if err := shared.client.Delete(t.Context(), namespaceNamed(namespace)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the namespace to go", func(ctx context.Context) (bool, string) {
		_, state := policyGone(ctx, namespace)
		return apierrors.IsNotFound(shared.client.Get(ctx, client.ObjectKey{Name: namespace}, &corev1.Namespace{})), state
	})
}

// deletedNamespace is a namespace of a tenant that is being deleted, with a pod that
// does not end.
func deletedNamespace(t *testing.T) (string, *corev1.Pod) {
	t.Helper()
	namespace := newNamespace(t, "client-a")
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "stubborn", Finalizers: []string{"example.test/stubborn"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none"}}},
	}
	if err := shared.client.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	if err := shared.client.Delete(t.Context(), namespaceNamed(namespace)); err != nil {
		t.Fatal(err)
	}
	return namespace, pod
}

func deletePolicy(t *testing.T, namespace string) {
	t.Helper()
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: names.PolicyName}}
	if err := shared.client.Delete(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
}

func policyGone(ctx context.Context, namespace string) (gone bool, state string) {
	var policy networkingv1.NetworkPolicy
	err := shared.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: names.PolicyName}, &policy)
	return apierrors.IsNotFound(err), fmt.Sprintf("finalizers %v, deleted %v, error %v", policy.Finalizers, policy.DeletionTimestamp, err)
}

func releasePod(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	if err := shared.client.Patch(t.Context(), pod, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))); err != nil {
		t.Fatal(err)
	}
}

// installFor adds the webhook of deletions and the role of the chart for another
// version of Kubernetes, under names of their own, until the test ends.
func installFor(t *testing.T, kubernetes string) {
	t.Helper()
	probe := newNamespace(t, "client-a")
	manifests, err := shared.webhook.release.Template(t.Context(), kubernetes)
	if err != nil {
		t.Fatal(err)
	}
	decoder := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(manifests), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		kind := object.GetKind()
		if object.GetName() != releaseName || kind != "ValidatingWebhookConfiguration" && kind != "ClusterRole" && kind != "ClusterRoleBinding" {
			continue
		}
		object.SetName("it-" + releaseName)
		switch kind {
		case "ClusterRoleBinding":
			err = unstructured.SetNestedField(object.Object, object.GetName(), "roleRef", "name")
		case "ValidatingWebhookConfiguration": // the others are installed already
			webhooks, _, _ := unstructured.NestedSlice(object.Object, "webhooks")
			webhooks = slices.DeleteFunc(webhooks, func(w any) bool { return w.(map[string]any)["name"] != "namespace-deletions.egress.scw" })
			err = unstructured.SetNestedSlice(object.Object, webhooks, "webhooks")
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := shared.client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := shared.client.Delete(context.Background(), object); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "the webhook to be asked about deletions", func(ctx context.Context) (bool, string) {
		if err := shared.client.Delete(ctx, namespaceNamed(probe), client.DryRunAll); err != nil {
			return false, err.Error()
		}
		return strings.Contains(shared.cluster.Environment.Tail("webhook"), string(names.ReasonPolicyKept)), "the log has no line"
	})
}
