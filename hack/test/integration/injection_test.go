package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// timeout bounds waits that end within seconds unless something is broken. On a
// busy machine they take much longer.
const timeout = 5 * time.Minute

// conflicts bounds the repetitions of updates that controllers interfere with.
var conflicts = wait.Backoff{Steps: 100, Duration: 50 * time.Millisecond}

func TestPodsOfATenantGetProxyVariables(t *testing.T) {
	namespace := newNamespace(t, "client-a")
	pod := createPod(t, namespace, corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "init", Image: "none"}},
		Containers: []corev1.Container{
			{Name: "plain", Image: "none"},
			{Name: "own", Image: "none", Env: []corev1.EnvVar{{Name: "HTTP_PROXY", Value: "http://own.example:8080"}}},
		},
	})
	ours := proxyURL(t, "client-a")
	for container, want := range map[string]map[string]string{
		"init":  {"HTTP_PROXY": ours, "http_proxy": ours, "HTTPS_PROXY": ours, "https_proxy": ours},
		"plain": {"HTTP_PROXY": ours, "http_proxy": ours, "HTTPS_PROXY": ours, "https_proxy": ours},
		"own":   {"HTTP_PROXY": "http://own.example:8080", "http_proxy": "$(HTTP_PROXY)", "HTTPS_PROXY": ours, "https_proxy": ours},
	} {
		got := environment(pod, container)
		noProxy := got["NO_PROXY"]
		if got["no_proxy"] != noProxy || !strings.Contains(","+noProxy+",", ",."+namespace+",") {
			t.Errorf("%s: NO_PROXY=%q, no_proxy=%q: they should be the same and hold the namespace", container, noProxy, got["no_proxy"])
		}
		delete(got, "NO_PROXY")
		delete(got, "no_proxy")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", container, diff)
		}
	}
	if pod.Annotations[names.AnnotationStatus] == "" {
		t.Errorf("annotations: %q: no %s", pod.Annotations, names.AnnotationStatus)
	}
}

func TestEphemeralContainersGetProxyVariables(t *testing.T) {
	namespace := newNamespace(t, "client-a")
	pod := createPod(t, namespace, corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none"}}})
	name, pods := pod.Name, shared.clientset.CoreV1().Pods(namespace)
	for _, container := range []string{"debug-1", "debug-2"} {
		err := retry.RetryOnConflict(conflicts, func() (err error) {
			// kwok updates the pod's status meanwhile. An update
			// that is refused for that reason returns an empty pod.
			if pod, err = pods.Get(t.Context(), name, metav1.GetOptions{}); err != nil {
				return err
			}
			pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, corev1.EphemeralContainer{
				EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: container, Image: "none"},
			})
			pod, err = pods.UpdateEphemeralContainers(t.Context(), name, pod, metav1.UpdateOptions{})
			return err
		})
		if err != nil {
			t.Fatalf("%s: %v", container, err)
		}
		if got := environment(pod, container)["HTTPS_PROXY"]; got != proxyURL(t, "client-a") {
			t.Errorf("%s: HTTPS_PROXY=%q", container, got)
		}
	}
}

func TestOtherNamespacesAreIgnored(t *testing.T) {
	namespace := newNamespace(t, "")
	pod := createPod(t, namespace, corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none"}}})
	if len(pod.Spec.Containers[0].Env) > 0 || len(pod.Annotations) > 0 {
		t.Errorf("a pod without a tenant was changed: env %v, annotations %v", pod.Spec.Containers[0].Env, pod.Annotations)
	}
	if policies := listPolicies(t.Context(), t, namespace); len(policies) > 0 {
		t.Errorf("a namespace without a tenant has policies: %q", policies)
	}
}

func TestRefusals(t *testing.T) {
	tests := map[string]struct {
		tenant      string
		annotations map[string]string
		want        []string
	}{
		"line feed in an entry of NO_PROXY": {
			tenant: "client-a", annotations: map[string]string{names.AnnotationNoProxy: "good.example,bad\nentry"},
			want: []string{"metadata.annotations[egress.scw/no-proxy][1]", "white space"},
		},
		"entry of NO_PROXY that would bypass half of the internet": {
			tenant: "client-a", annotations: map[string]string{names.AnnotationNoProxy: "com"},
			want: []string{"metadata.annotations[egress.scw/no-proxy][0]", "public hosts"},
		},
		"unknown runtime": {
			tenant: "client-a", annotations: map[string]string{names.AnnotationRuntimes: "Java,Cobol"},
			want: []string{"metadata.annotations[egress.scw/runtimes][1]", `supported values: "Java", "Node", "Perl"`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			namespace := newNamespace(t, test.tenant)
			err := shared.client.Create(t.Context(), &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "p", Annotations: test.annotations},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none"}}},
			})
			if err == nil {
				t.Fatal("the pod was admitted")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the refusal does not contain %q: %v", part, err)
				}
			}
		})
	}
}

func TestTenantsAreValidated(t *testing.T) {
	tests := map[string]struct {
		tenant v1alpha1.EgressTenant
		want   string
	}{
		"port below the range": {tenant("too-low", 3128), "spec.proxy.port"},
		"port above the range": {tenant("too-high", 3256), "spec.proxy.port"},
		"line feed in noProxy": {tenant("line-feed", 3254, "a.example\nb.example"), "spec.noProxy[0]"},
		"name with a dot":      {tenant("a.b", 3254), "metadata.name"},
		"no proxy":             {withoutProxy(v1alpha1.PathProxy), "proxy is required with path Proxy"},
		"no proxy by default":  {withoutProxy(""), "proxy is required with path Proxy"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := shared.client.Create(t.Context(), &test.tenant)
			if err == nil {
				t.Cleanup(func() { _ = shared.client.Delete(context.Background(), &test.tenant) })
				t.Fatal("the tenant was admitted")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("the refusal does not name %s: %v", test.want, err)
			}
		})
	}
}

func withoutProxy(path v1alpha1.Path) v1alpha1.EgressTenant {
	return v1alpha1.EgressTenant{ObjectMeta: metav1.ObjectMeta{Name: "without-proxy"}, Spec: v1alpha1.EgressTenantSpec{Path: path}}
}

// The schema accepts everything that Validate accepts.
func TestValidTenantsAreAdmitted(t *testing.T) {
	name := strings.Repeat("a", 253-len(".example"))
	for i := 63; i < len(name); i += 64 {
		name = name[:i] + "." + name[i+1:]
	}
	many := make([]string, 64)
	for i := range many {
		many[i] = fmt.Sprintf("host-%d.example", i)
	}
	for what, tenant := range map[string]v1alpha1.EgressTenant{
		"lowest port":     tenant("valid", names.TenantPortMin),
		"highest port":    tenant("valid", names.TenantPortMax),
		"name of digits":  tenant("42", 3254),
		"longest name":    tenant(strings.Repeat("a", 63), 3254),
		"path by default": {ObjectMeta: metav1.ObjectMeta{Name: "valid"}, Spec: v1alpha1.EgressTenantSpec{Proxy: &v1alpha1.TenantProxy{Port: 3254}}},
		"many entries":    tenant("valid", 3254, many...),
		"entries of every kind": tenant("valid", 3254, ".Example.COM.", "bücher.example", "r3---sn.example", name+".example",
			"192.0.2.1", "[::1]", "::ffff:192.0.2.2", "10.1.2.3/8", "2001:db8::/32"),
	} {
		t.Run(what, func(t *testing.T) {
			if errs := tenant.Validate(); len(errs) > 0 {
				t.Fatalf("not valid: %v", errs.ToAggregate())
			}
			if err := shared.client.Create(t.Context(), &tenant, client.DryRunAll); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTenantStatus(t *testing.T) {
	namespace := newNamespace(t, "client-b")
	eventually(t, "client-b to be ready with the namespace", func(ctx context.Context) (bool, string) {
		var got v1alpha1.EgressTenant
		if err := shared.client.Get(ctx, client.ObjectKey{Name: "client-b"}, &got); err != nil {
			return false, err.Error()
		}
		ready := false
		for _, condition := range got.Status.Conditions {
			ready = ready || condition.Type == names.ConditionReady && condition.Status == metav1.ConditionTrue
		}
		covered := false
		for _, name := range got.Status.Namespaces {
			covered = covered || name == namespace
		}
		proxied := got.Status.ServiceIP != "" && got.Status.ProxyURL == "http://"+got.Status.ServiceIP+":3128" && slices.Equal(got.Status.SourceAddresses, []string{egressAddress})
		return ready && covered && proxied, fmt.Sprintf("%+v", got.Status)
	})
}

func tenant(name string, port int32, noProxy ...string) v1alpha1.EgressTenant {
	return v1alpha1.EgressTenant{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.EgressTenantSpec{Path: v1alpha1.PathProxy, Proxy: &v1alpha1.TenantProxy{Port: port}, NoProxy: noProxy},
	}
}

// portsOfTests are the ports of createTenant by the test that has them. Tests of this
// package do not run at the same time.
var portsOfTests = map[int32]string{}

// createTenant creates the tenant, and deletes it at the end of the test. Its port is
// one of no other test: tenants are deleted in the background too, and keep their ports
// until their namespaces have gone.
func createTenant(t *testing.T, tenant *v1alpha1.EgressTenant) {
	t.Helper()
	if proxy := tenant.Spec.Proxy; proxy != nil {
		test, _, _ := strings.Cut(t.Name(), "/")
		if other := portsOfTests[proxy.Port]; other != "" && other != test {
			t.Fatalf("port %d of tenant %s is that of %s: choose another one", proxy.Port, tenant.Name, other)
		}
		portsOfTests[proxy.Port] = test
	}
	if err := shared.client.Create(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shared.client.Delete(context.Background(), tenant); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
}

// newNamespace creates a namespace of the tenant (of no tenant, if empty), with
// the service account that pods need.
func newNamespace(t *testing.T, tenant string) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "it-", Labels: map[string]string{}}}
	if tenant != "" {
		namespace.Labels[names.LabelTenant] = tenant
	}
	if err := shared.client.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shared.client.Delete(context.Background(), namespace); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	eventually(t, "the default service account", func(ctx context.Context) (bool, string) {
		err := shared.client.Get(ctx, client.ObjectKey{Namespace: namespace.Name, Name: "default"}, &corev1.ServiceAccount{})
		return err == nil, fmt.Sprint(err)
	})
	return namespace.Name
}

func createPod(t *testing.T, namespace string, spec corev1.PodSpec) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "p"}, Spec: spec}
	if err := shared.client.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

// environment returns a container's variables, each with its effective value.
func environment(pod *corev1.Pod, container string) map[string]string {
	var env []corev1.EnvVar
	for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
		if c.Name == container {
			env = c.Env
		}
	}
	for _, c := range pod.Spec.EphemeralContainers {
		if c.Name == container {
			env = c.Env
		}
	}
	values := make(map[string]string, len(env))
	for _, variable := range env {
		values[variable.Name] = variable.Value
	}
	return values
}

// eventually waits for a state. state returns nil once the state is reached,
// and otherwise describes the current one.
func eventually(tb testing.TB, what string, state func(context.Context) (done bool, description string)) {
	tb.Helper()
	var last string
	err := wait.PollUntilContextTimeout(tb.Context(), 50*time.Millisecond, timeout, true, func(ctx context.Context) (bool, error) {
		var done bool
		done, last = state(ctx)
		return done, nil
	})
	if err != nil {
		tb.Fatalf("waiting for %s: %v; last seen: %s", what, err, last)
	}
}
