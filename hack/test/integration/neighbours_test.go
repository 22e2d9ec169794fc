package integration

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// noProxyOfNextPod returns the entries of NO_PROXY that a pod would get.
func noProxyOfNextPod(ctx context.Context, namespace string) ([]string, error) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "next"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none"}}},
	}
	if err := shared.client.Create(ctx, pod, client.DryRunAll); err != nil {
		return nil, err
	}
	return strings.Split(environment(pod, "c")["NO_PROXY"], ","), nil
}

// requireNoProxy waits until the next pod of the namespace has the entries, and not
// the others.
func requireNoProxy(t *testing.T, namespace, what string, has, hasNot []string) {
	t.Helper()
	eventually(t, what, func(ctx context.Context) (bool, string) {
		entries, err := noProxyOfNextPod(ctx, namespace)
		if err != nil {
			return false, err.Error()
		}
		done := true
		for _, entry := range has {
			done = done && slices.Contains(entries, entry)
		}
		for _, entry := range hasNot {
			done = done && !slices.Contains(entries, entry)
		}
		return done, strings.Join(entries, ",")
	})
}

// A Service that is created, or deleted, is in the NO_PROXY of the next pod of its
// namespace, or not any more, by name and address. Those of other namespaces are not.
func TestServicesAreInNoProxy(t *testing.T) {
	namespace, other := newNamespace(t, "client-a"), newNamespace(t, "client-b")
	service := func(namespace, name, address string) *corev1.Service {
		return &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec:       corev1.ServiceSpec{ClusterIP: address, Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}},
		}
	}
	backend, stateful, public := service(namespace, "backend", ""), service(namespace, "stateful", "None"), service(namespace, "shop", "")
	foreign := service(other, "foreign", "")
	for _, created := range []*corev1.Service{foreign, public, backend, stateful} {
		if err := shared.client.Create(t.Context(), created); err != nil {
			t.Fatal(err)
		}
	}
	requireNoProxy(t, namespace, "the Services in NO_PROXY",
		[]string{"backend", backend.Spec.ClusterIP, "stateful", ".stateful", public.Spec.ClusterIP},
		[]string{"shop", "None", "foreign", foreign.Spec.ClusterIP})
	if err := shared.client.Delete(t.Context(), backend); err != nil {
		t.Fatal(err)
	}
	requireNoProxy(t, namespace, "the deleted Service to be gone from NO_PROXY",
		[]string{"stateful", public.Spec.ClusterIP}, []string{"backend", backend.Spec.ClusterIP})
}

// The tenant's other namespaces are in the NO_PROXY of the next pod, from their label
// on, and until it is removed.
func TestNamespacesOfTheTenantAreInNoProxy(t *testing.T) {
	namespace := newNamespace(t, "client-a")
	requireNoProxy(t, namespace, "the namespace itself in NO_PROXY", []string{"." + namespace}, nil)
	foreign, joining := newNamespace(t, "client-b"), newNamespace(t, "client-a")
	requireNoProxy(t, namespace, "the other namespace in NO_PROXY", []string{"." + namespace, "." + joining}, []string{"." + foreign, joining})
	if _, err := shared.cluster.Kubectl(t.Context(), nil, "label", "namespace", joining, names.LabelTenant+"-"); err != nil {
		t.Fatal(err)
	}
	requireNoProxy(t, namespace, "the namespace without label to be gone from NO_PROXY", []string{"." + namespace}, []string{"." + joining})
}

// A manifest that sets NO_PROXY and JAVA_TOOL_OPTIONS is applied again after Services
// have come and gone: the pod keeps its environment.
func TestBarePodIsAppliedAgainAfterServicesChanged(t *testing.T) {
	java := tenant("java", 3204)
	java.Spec.Runtimes = []v1alpha1.Runtime{v1alpha1.RuntimeJava}
	createTenant(t, &java)
	for name, flags := range map[string][]string{"client-side": {}, "server-side": {"--server-side"}} {
		t.Run(name, func(t *testing.T) {
			namespace := newNamespace(t, java.Name)
			gone := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "gone"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
			if err := shared.client.Create(t.Context(), gone); err != nil {
				t.Fatal(err)
			}
			requireNoProxy(t, namespace, "the Service in NO_PROXY", []string{"gone"}, nil)
			apply := func(version string) {
				t.Helper()
				manifest := strings.NewReader(fmt.Sprintf(ownJava, namespace, version))
				if _, err := shared.cluster.Kubectl(t.Context(), manifest, append([]string{"apply", "-f", "-"}, flags...)...); err != nil {
					t.Fatalf("version %s: %v", version, err)
				}
			}
			apply("one")
			first := environment(bare(t, namespace), "c")
			proxy, err := url.Parse(first["HTTPS_PROXY"])
			if err != nil {
				t.Fatal(err)
			}
			options := fmt.Sprintf("-Xmx1g -Dhttp.proxyHost=%s -Dhttp.proxyPort=%s ", proxy.Hostname(), proxy.Port())
			if !strings.HasPrefix(first["JAVA_TOOL_OPTIONS"], options) || !strings.Contains(first["NO_PROXY"], ",gone,") {
				t.Fatalf("environment %v", first)
			}
			if err := shared.client.Delete(t.Context(), gone); err != nil {
				t.Fatal(err)
			}
			requireNoProxy(t, namespace, "the Service to be gone from NO_PROXY", nil, []string{"gone"})
			apply("two")
			second := bare(t, namespace)
			for variable, was := range first {
				if is := environment(second, "c")[variable]; is != was {
					t.Errorf("%s was %q and is %q", variable, was, is)
				}
			}
			if second.Labels["version"] != "two" {
				t.Errorf("labels %v", second.Labels)
			}
		})
	}
}

// ownJava is a manifest of a bare pod, with a namespace and a version.
const ownJava = `
apiVersion: v1
kind: Pod
metadata: {namespace: %s, name: bare, labels: {version: %s}}
spec:
  containers:
    - {name: c, image: none, env: [{name: NO_PROXY, value: mine.example}, {name: JAVA_TOOL_OPTIONS, value: -Xmx1g}]}
`

// The label of a namespace turns injection off for its pods, not the NetworkPolicy,
// and the status of the tenant lists the namespace.
func TestNamespaceIsOptedOut(t *testing.T) {
	namespace := newNamespace(t, "client-b")
	if _, err := shared.cluster.Kubectl(t.Context(), nil, "label", "namespace", namespace, names.LabelInject+"=false"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the tenant's status to list the namespace", func(ctx context.Context) (bool, string) {
		var got v1alpha1.EgressTenant
		if err := shared.client.Get(ctx, client.ObjectKey{Name: "client-b"}, &got); err != nil {
			return false, err.Error()
		}
		return slices.Contains(got.Status.OptedOutNamespaces, namespace), fmt.Sprint(got.Status.OptedOutNamespaces)
	})
	eventually(t, "a pod without variables", func(ctx context.Context) (bool, string) {
		entries, err := noProxyOfNextPod(ctx, namespace)
		return err == nil && len(entries) == 1 && entries[0] == "", fmt.Sprint(entries, err)
	})
	createPod(t, namespace, corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none"}}})
	if policies := listPolicies(t.Context(), t, namespace); !slices.Contains(policies, names.PolicyName) {
		t.Errorf("the policies of the namespace are %q", policies)
	}
}
