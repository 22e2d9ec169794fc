package integration

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// ownNoProxy is a manifest of a bare pod that sets NO_PROXY, as it stands in Git.
func ownNoProxy(namespace, label, noProxy string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {namespace: %s, name: bare, labels: {version: %s}}
spec:
  initContainers:
    - {name: init, image: none, env: [{name: no_proxy, value: mine.example}]}
  containers:
    - {name: c, image: none, env: [{name: NO_PROXY, value: "%s"}, {name: OTHER, value: a}]}
`, namespace, label, noProxy)
}

// A manifest that sets NO_PROXY is applied again, client-side and server-side: the
// pod keeps its environment, and gets its new label. kubectl sees no difference.
func TestBarePodIsAppliedAgain(t *testing.T) {
	for name, flags := range map[string][]string{
		"client-side": {}, "server-side": {"--server-side"}, "server-side, forced": {"--server-side", "--force-conflicts"},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := newNamespace(t, "client-a")
			run := func(verb, manifest string) (string, error) {
				return shared.cluster.Kubectl(t.Context(), strings.NewReader(manifest), append([]string{verb, "-f", "-"}, flags...)...)
			}
			if _, err := run("apply", ownNoProxy(namespace, "one", "mine.example")); err != nil {
				t.Fatal(err)
			}
			first := bare(t, namespace)
			if value := environment(first, "c")["NO_PROXY"]; !strings.HasPrefix(value, "mine.example,localhost,") {
				t.Fatalf("NO_PROXY=%q", value)
			}
			for _, label := range []string{"one", "two"} {
				if _, err := run("apply", ownNoProxy(namespace, label, "mine.example")); err != nil {
					t.Errorf("applied again with label %s: %v", label, err)
				}
			}
			// kubectl reads the pod twice. Its node, or its status, that was written in between
			// is a difference, too.
			eventually(t, "kubectl diff", func(context.Context) (bool, string) {
				out, err := run("diff", ownNoProxy(namespace, "two", "mine.example"))
				return err == nil, fmt.Sprintf("%v\n%s", err, out)
			})
			second := bare(t, namespace)
			for _, container := range []string{"init", "c"} {
				if was, is := environment(first, container)["NO_PROXY"], environment(second, container)["NO_PROXY"]; was != is {
					t.Errorf("container %s: NO_PROXY was %q and is %q", container, was, is)
				}
			}
			if second.Labels["version"] != "two" || second.UID != first.UID || second.Generation != first.Generation {
				t.Errorf("labels %v, UID %s, generation %d; before: UID %s, generation %d",
					second.Labels, second.UID, second.Generation, first.UID, first.Generation)
			}
			if _, err := run("apply", ownNoProxy(namespace, "two", "changed.example")); err == nil || !strings.Contains(err.Error(), "pod updates may not change fields") {
				t.Errorf("NO_PROXY changed: error is %v, want the refusal of Kubernetes", err)
			}
		})
	}
}

// A manifest with tolerations and a nodeSelector of its own is applied again: the pod
// keeps those of its tenant's nodePool too.
func TestConfinedPodIsAppliedAgain(t *testing.T) {
	pool := &v1alpha1.NodePool{
		NodeSelector: map[string]string{"pool": "confined"},
		Tolerations:  []v1alpha1.Toleration{{Key: "tenant", Value: "confined", Effect: "NoSchedule"}},
	}
	proxied, gateway := tenant("confined", 3200), v1alpha1.EgressTenant{ObjectMeta: metav1.ObjectMeta{Name: "confined-gateway"}}
	gateway.Spec.Path = v1alpha1.PathGateway
	for _, tenant := range []*v1alpha1.EgressTenant{&proxied, &gateway} {
		tenant.Spec.NodePool = pool
		createTenant(t, tenant)
		for name, flags := range map[string][]string{"client-side": {}, "server-side": {"--server-side"}} {
			t.Run(tenant.Name+", "+name, func(t *testing.T) {
				namespace := newNamespace(t, tenant.Name)
				apply := func(version string) {
					t.Helper()
					manifest := strings.NewReader(fmt.Sprintf(ownPlacement, namespace, version))
					if _, err := shared.cluster.Kubectl(t.Context(), manifest, append([]string{"apply", "-f", "-"}, flags...)...); err != nil {
						t.Fatalf("version %s: %v", version, err)
					}
				}
				apply("one")
				first := bare(t, namespace)
				if len(first.Spec.Tolerations) != 4 || first.Spec.NodeSelector["pool"] != "confined" {
					t.Fatalf("tolerations %v, nodeSelector %v; want its own, the tenant's and two of Kubernetes", first.Spec.Tolerations, first.Spec.NodeSelector)
				}
				apply("two")
				second := bare(t, namespace)
				if diff := cmp.Diff(first.Spec, second.Spec); diff != "" || second.Labels["version"] != "two" || second.UID != first.UID {
					t.Errorf("labels %v, UID %s, before %s; spec (-before +after):\n%s", second.Labels, second.UID, first.UID, diff)
				}
			})
		}
	}
}

// ownPlacement is a manifest of a bare pod, with a namespace and a version.
const ownPlacement = `
apiVersion: v1
kind: Pod
metadata: {namespace: %s, name: bare, labels: {version: %s}}
spec:
  nodeSelector: {disk: fast}
  tolerations: [{key: own, operator: Exists}]
  containers: [{name: c, image: none}]
`

func bare(t *testing.T, namespace string) *corev1.Pod {
	t.Helper()
	var pod corev1.Pod
	if err := shared.client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "bare"}, &pod); err != nil {
		t.Fatal(err)
	}
	return &pod
}

// Labels and annotations of a request for an ephemeral container are the client's,
// and are not stored.
func TestForgedEphemeralContainerIsInjected(t *testing.T) {
	namespace := newNamespace(t, "client-a")
	pod := createPod(t, namespace, corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none"}}})
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:"false"},"annotations":{%q:"debug"}},"spec":{"ephemeralContainers":[{"name":"debug","image":"none"}]}}`,
		names.LabelInject, names.AnnotationSkipContainers)
	got, err := shared.clientset.CoreV1().Pods(namespace).Patch(t.Context(), pod.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "ephemeralcontainers")
	if err != nil {
		t.Fatal(err)
	}
	if proxy := environment(got, "debug")["HTTP_PROXY"]; proxy != proxyURL(t, "client-a") {
		t.Errorf("HTTP_PROXY=%q", proxy)
	}
	if got.Labels[names.LabelInject] != "" || got.Annotations[names.AnnotationSkipContainers] != "" {
		t.Errorf("the forged metadata is stored: %v, %v", got.Labels, got.Annotations)
	}
}

// A pod that was exported from the namespace of one tenant and created in that of
// another leaves by the other's port.
func TestCopiedPodIsBroughtUpToDate(t *testing.T) {
	from, to := newNamespace(t, "client-b"), newNamespace(t, "client-a")
	pod := createPod(t, from, corev1.PodSpec{Containers: []corev1.Container{
		{Name: "plain", Image: "none"},
		{Name: "own", Image: "none", Env: []corev1.EnvVar{{Name: "NO_PROXY", Value: "mine.example"}, {Name: "HTTP_PROXY", Value: "http://own.example:8080"}}},
	}})
	pod.Spec.NodeName, pod.Spec.Volumes = "", nil
	for i := range pod.Spec.Containers {
		pod.Spec.Containers[i].VolumeMounts = nil
	}
	var copied, fresh *corev1.Pod
	// A namespace of the tenant that ends between the two is in one of them only.
	eventually(t, "two pods at a time without changes of namespaces", func(ctx context.Context) (bool, string) {
		copied = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: to, Name: "copied", Annotations: maps.Clone(pod.Annotations)}, Spec: *pod.Spec.DeepCopy()}
		before := dryRun(ctx, t, plainPod(to))
		if err := shared.client.Create(ctx, copied, client.DryRunAll); err != nil {
			t.Fatal(err)
		}
		fresh = dryRun(ctx, t, plainPod(to))
		is, was := environment(fresh, "plain")["NO_PROXY"], environment(before, "plain")["NO_PROXY"]
		return is == was, fmt.Sprintf("NO_PROXY was %s and is %s", was, is)
	})
	plain, own, want := environment(copied, "plain"), environment(copied, "own"), environment(fresh, "plain")
	for name, value := range want {
		if plain[name] != value {
			t.Errorf("%s=%q, want that of a fresh pod, %q", name, plain[name], value)
		}
	}
	if own["NO_PROXY"] != "mine.example,"+want["NO_PROXY"] || own["HTTP_PROXY"] != "http://own.example:8080" || own["HTTPS_PROXY"] != want["HTTPS_PROXY"] {
		t.Errorf("container with own variables: %v", own)
	}
	if copied.Annotations[names.AnnotationStatus] != fresh.Annotations[names.AnnotationStatus] {
		t.Errorf("status is %s, want %s", copied.Annotations[names.AnnotationStatus], fresh.Annotations[names.AnnotationStatus])
	}
}

func plainPod(namespace string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "fresh"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "plain", Image: "none"}}}}
}

// dryRun returns the pod as it would be created.
func dryRun(ctx context.Context, t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	if err := shared.client.Create(ctx, pod, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	return pod
}
