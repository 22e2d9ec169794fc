package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// sidecarNamespace creates a tenant with the sidecar, capture and closed DNS, and a
// namespace with the Pod Security Standard.
func sidecarNamespace(t *testing.T, name string, port int32, standard string) string {
	t.Helper()
	object := tenant(name, port)
	object.Spec.Sidecar, object.Spec.DNS = &v1alpha1.Sidecar{Capture: v1alpha1.CaptureNames}, v1alpha1.DNSClosed
	createTenant(t, &object)
	namespace := newNamespace(t, name)
	err := retry.RetryOnConflict(conflicts, func() error {
		var labelled corev1.Namespace
		if err := shared.client.Get(t.Context(), client.ObjectKey{Name: namespace}, &labelled); err != nil {
			return err
		}
		labelled.Labels["pod-security.kubernetes.io/enforce"] = standard
		return shared.client.Update(t.Context(), &labelled)
	})
	if err != nil {
		t.Fatal(err)
	}
	return namespace
}

// restrictedPod has what the standard restricted demands, resources of its own as a
// whole, which it uses up, and settings that the sidecar changes.
func restrictedPod() corev1.PodSpec {
	yes, no := true, false
	amounts := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("64Mi")}
	container := func(name string) corev1.Container {
		return corev1.Container{
			Name: name, Image: "none", Resources: corev1.ResourceRequirements{Requests: amounts, Limits: amounts},
			SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
		}
	}
	return corev1.PodSpec{
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		Resources:       &corev1.ResourceRequirements{Requests: amounts, Limits: amounts},
		DNSConfig:       &corev1.PodDNSConfig{Options: []corev1.PodDNSConfigOption{{Name: "timeout", Value: new("2")}}},
		InitContainers:  []corev1.Container{container("init")},
		Containers:      []corev1.Container{container("web")},
	}
}

// TestSidecarIsAdmitted: the pod passes the API server's validation and its Pod
// Security Standards, and is the same after it was copied.
func TestSidecarIsAdmitted(t *testing.T) {
	for i, standard := range []string{"baseline", "restricted"} {
		t.Run(standard, func(t *testing.T) {
			namespace := sidecarNamespace(t, "sidecar-"+standard, int32(3245+i), standard)
			pod := createPod(t, namespace, restrictedPod())
			checkSidecar(t, pod, namespace)

			// A copy of a pod that runs, as kubectl debug --copy-to makes it.
			again := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "copy", Annotations: pod.Annotations}, Spec: *pod.Spec.DeepCopy()}
			again.Spec.NodeName = ""
			want := again.Spec.DeepCopy()
			if err := shared.client.Create(t.Context(), again); err != nil {
				t.Fatal(err)
			}
			again.Spec.NodeName = ""
			if diff := cmp.Diff(want, &again.Spec); diff != "" {
				t.Errorf("the copy (-pod +copy):\n%s", diff)
			}
		})
	}
}

func checkSidecar(t *testing.T, pod *corev1.Pod, namespace string) {
	t.Helper()
	var order []string
	for _, container := range pod.Spec.InitContainers {
		order = append(order, container.Name)
	}
	if !slices.Equal(order, []string{names.SidecarName, "init"}) {
		t.Fatalf("init containers are %q", order)
	}
	for _, container := range []string{"init", "web"} {
		if got := environment(pod, container)["HTTP_PROXY"]; got != "http://127.0.0.1:3128" {
			t.Errorf("%s: HTTP_PROXY=%s", container, got)
		}
	}
	if _, set := environment(pod, names.SidecarName)["HTTP_PROXY"]; set {
		t.Error("the sidecar has the proxy variables, which lead to itself")
	}
	wantDNS := &corev1.PodDNSConfig{
		Nameservers: []string{"127.0.0.1"}, Searches: []string{namespace + ".svc.cluster.local", "svc.cluster.local", "cluster.local"},
		Options: []corev1.PodDNSConfigOption{{Name: "timeout", Value: new("2")}, {Name: "ndots", Value: new("5")}},
	}
	if diff := cmp.Diff(wantDNS, pod.Spec.DNSConfig); diff != "" || pod.Spec.DNSPolicy != corev1.DNSNone {
		t.Errorf("dnsPolicy is %s; dnsConfig (-want +got):\n%s", pod.Spec.DNSPolicy, diff)
	}
	if diff := cmp.Diff([]corev1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}}, pod.Spec.SecurityContext.Sysctls); diff != "" {
		t.Errorf("sysctls (-want +got):\n%s", diff)
	}
	wantResources := map[string]string{"requests cpu": "60m", "requests memory": "80Mi", "limits cpu": "60m", "limits memory": "128Mi"}
	gotResources := map[string]string{}
	for kind, amounts := range map[string]corev1.ResourceList{"requests": pod.Spec.Resources.Requests, "limits": pod.Spec.Resources.Limits} {
		for name, amount := range amounts {
			gotResources[kind+" "+string(name)] = amount.String()
		}
	}
	if diff := cmp.Diff(wantResources, gotResources); diff != "" {
		t.Errorf("resources of the pod (-want +got):\n%s", diff)
	}
}

// A manifest of a bare pod with settings of its own is applied again: the pod keeps
// those that the sidecar changed.
func TestSidecarPodIsAppliedAgain(t *testing.T) {
	namespace := sidecarNamespace(t, "sidecar-applied", 3247, "restricted")
	for name, flags := range map[string][]string{"client-side": {}, "server-side": {"--server-side"}} {
		t.Run(name, func(t *testing.T) {
			pod := client.ObjectKey{Namespace: namespace, Name: name}
			for _, team := range []string{"orders", "shop"} {
				manifest := strings.NewReader(ownSettings(pod, team))
				if _, err := shared.cluster.Kubectl(t.Context(), manifest, append([]string{"apply", "-f", "-"}, flags...)...); err != nil {
					t.Fatalf("team %s: %v", team, err)
				}
				var got corev1.Pod
				if err := shared.client.Get(t.Context(), pod, &got); err != nil {
					t.Fatal(err)
				}
				if got.Labels["team"] != team || got.Generation != 1 {
					t.Errorf("team is %s, want %s; generation is %d", got.Labels["team"], team, got.Generation)
				}
				checkSidecar(t, &got, namespace)
			}
		})
	}
}

// ownSettings is the manifest of restrictedPod, with every setting that the sidecar
// changes.
func ownSettings(pod client.ObjectKey, team string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {namespace: %s, name: %s, labels: {team: %s}}
spec:
  dnsPolicy: ClusterFirst
  dnsConfig: {options: [{name: timeout, value: "2"}]}
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  resources: {requests: {cpu: 50m, memory: 64Mi}, limits: {cpu: 50m, memory: 64Mi}}
  initContainers:
    - {name: init, image: none, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}
  containers:
    - {name: web, image: none, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}
`, pod.Namespace, pod.Name, team)
}

// TestSidecarRefusals: pods that cannot have the sidecar, and a tenant whose settings
// are missing.
func TestSidecarRefusals(t *testing.T) {
	namespace := sidecarNamespace(t, "sidecar-refused", 3248, "baseline")
	for name, test := range map[string]struct {
		change func(*corev1.PodSpec)
		want   string
	}{
		"name of the sidecar": {func(s *corev1.PodSpec) { s.Containers[0].Name = names.SidecarName }, "rename it"},
		"sysctl": {func(s *corev1.PodSpec) {
			s.SecurityContext.Sysctls = []corev1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "1024"}}
		}, "listens on port 53"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := restrictedPod()
			test.change(&spec)
			err := shared.client.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "p"}, Spec: spec})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
}

// TestSidecarPolicy: the NetworkPolicy opens the closed DNS server, and both ports of
// the proxy.
func TestSidecarPolicy(t *testing.T) {
	namespace := sidecarNamespace(t, "sidecar-policy", 3249, "baseline")
	eventually(t, "the policy", func(ctx context.Context) (bool, string) {
		var policy networkingv1.NetworkPolicy
		if err := shared.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: names.PolicyName}, &policy); err != nil {
			return false, err.Error()
		}
		var opened []string
		for _, rule := range policy.Spec.Egress {
			for _, port := range rule.Ports {
				opened = append(opened, fmt.Sprintf("%s %s", *port.Protocol, port.Port))
			}
		}
		return slices.Equal(opened, []string{"UDP 53", "TCP 53", "TCP 3249", "TCP 3443"}), fmt.Sprint(opened)
	})
}
