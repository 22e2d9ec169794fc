package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// TestManifestsNameNoProxy holds the purpose of the demo: injection provides
// the proxy.
func TestManifestsNameNoProxy(t *testing.T) {
	files, err := filepath.Glob("deploy/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("files in deploy: %q, %v", files, err)
	}
	for _, file := range files {
		if strings.Contains(strings.ToLower(readFile(t, file)), "proxy") {
			t.Errorf("%s contains the word", file)
		}
	}
}

// TestKustomization expects every manifest in it, and nothing else.
func TestKustomization(t *testing.T) {
	var got struct {
		APIVersion string   `json:"apiVersion"`
		Kind       string   `json:"kind"`
		Resources  []string `json:"resources"`
	}
	decode(t, "kustomization.yaml", &got)
	if got.APIVersion != "kustomize.config.k8s.io/v1beta1" || got.Kind != "Kustomization" {
		t.Errorf("kustomization.yaml is a %s %s", got.APIVersion, got.Kind)
	}
	files, err := filepath.Glob("deploy/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{}
	for _, file := range files {
		if name := filepath.Base(file); name != "kustomization.yaml" {
			want = append(want, name)
		}
	}
	slices.Sort(got.Resources)
	if diff := cmp.Diff(want, got.Resources); diff != "" {
		t.Errorf("resources (-files +listed):\n%s", diff)
	}
}

// TestManifests decodes the manifests strictly and expects them to fit
// together and to pass PodSecurity "restricted".
func TestManifests(t *testing.T) {
	var (
		account    corev1.ServiceAccount
		deployment appsv1.Deployment
		service    corev1.Service
		ingress    networkingv1.NetworkPolicy
	)
	decode(t, "serviceaccount.yaml", &account)
	decode(t, "deployment.yaml", &deployment)
	decode(t, "service.yaml", &service)
	decode(t, "networkpolicy.yaml", &ingress)
	pod := deployment.Spec.Template
	if len(pod.Spec.Containers) != 1 {
		t.Fatalf("%d containers, want 1", len(pod.Spec.Containers))
	}
	container := pod.Spec.Containers[0]

	for _, namespace := range []string{account.Namespace, deployment.Namespace, service.Namespace, ingress.Namespace} {
		if namespace != "" {
			t.Errorf("a manifest is fixed to the namespace %q", namespace)
		}
	}
	if no := false; !cmp.Equal(account.AutomountServiceAccountToken, &no) || !cmp.Equal(pod.Spec.AutomountServiceAccountToken, &no) ||
		pod.Spec.ServiceAccountName != account.Name {
		t.Errorf("the pod gets the token of ServiceAccount %q", pod.Spec.ServiceAccountName)
	}
	for name, selector := range map[string]map[string]string{
		"Deployment": deployment.Spec.Selector.MatchLabels, "Service": service.Spec.Selector, "NetworkPolicy": ingress.Spec.PodSelector.MatchLabels,
	} {
		if diff := cmp.Diff(pod.Labels, selector); diff != "" {
			t.Errorf("selector of the %s (-pod +selector):\n%s", name, diff)
		}
	}
	if got := service.Spec.Ports[0].TargetPort.String(); got != container.Ports[0].Name || container.Ports[0].ContainerPort != 8080 {
		t.Errorf("the Service goes to port %q, the container has %+v", got, container.Ports)
	}
	if container.LivenessProbe.HTTPGet.Path != "/healthz" || container.ReadinessProbe.HTTPGet.Path != "/healthz" {
		t.Errorf("the probes do not ask for /healthz")
	}
	for _, list := range []corev1.ResourceList{container.Resources.Requests, container.Resources.Limits} {
		if list.Cpu().IsZero() || list.Memory().IsZero() {
			t.Errorf("requests or limits are missing: %+v", container.Resources)
		}
	}

	fields := map[string]string{}
	for _, env := range container.Env {
		switch from := env.ValueFrom; {
		case from == nil:
			fields[env.Name] = env.Value
		case from.FieldRef != nil:
			fields[env.Name] = from.FieldRef.FieldPath
		case from.SecretKeyRef != nil && from.SecretKeyRef.Optional != nil && *from.SecretKeyRef.Optional:
			fields[env.Name] = "optional " + from.SecretKeyRef.Name + "/" + from.SecretKeyRef.Key
		}
	}
	wantFields := map[string]string{
		"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace", "NODE_NAME": "spec.nodeName",
		"EGRESS_DEMO_METRICS_LISTEN": ":9090",
		variableUsername:             "optional egress-demo-account/username",
		variablePassword:             "optional egress-demo-account/password",
	}
	if diff := cmp.Diff(wantFields, fields); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if _, err := parseSettings(nil, variables(map[string]string{"EGRESS_DEMO_METRICS_LISTEN": fields["EGRESS_DEMO_METRICS_LISTEN"]})); err != nil {
		t.Error(err)
	}

	yes, no, user := true, false, int64(65532) // the image's USER
	wantPod := &corev1.PodSecurityContext{
		RunAsNonRoot: &yes, RunAsUser: &user, RunAsGroup: &user,
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	if diff := cmp.Diff(wantPod, pod.Spec.SecurityContext); diff != "" {
		t.Errorf("security context of the pod (-want +got):\n%s", diff)
	}
	wantContainer := &corev1.SecurityContext{
		AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	if diff := cmp.Diff(wantContainer, container.SecurityContext); diff != "" {
		t.Errorf("security context of the container (-want +got):\n%s", diff)
	}
}

// TestIngress expects a policy for ingress alone, since only webhook and cluster
// administrators may write rules for egress, and a port of the container behind each of
// its rules.
func TestIngress(t *testing.T) {
	var (
		deployment appsv1.Deployment
		policy     networkingv1.NetworkPolicy
	)
	decode(t, "deployment.yaml", &deployment)
	decode(t, "networkpolicy.yaml", &policy)
	if diff := cmp.Diff([]networkingv1.PolicyType{networkingv1.PolicyTypeIngress}, policy.Spec.PolicyTypes); diff != "" || policy.Spec.Egress != nil {
		t.Errorf("types of the policy (-want +got):\n%s%+v", diff, policy.Spec.Egress)
	}
	var ports, named []string
	for _, port := range deployment.Spec.Template.Spec.Containers[0].Ports {
		ports = append(ports, port.Name)
	}
	for _, rule := range policy.Spec.Ingress {
		if len(rule.From) == 0 || len(rule.Ports) != 1 {
			t.Errorf("a rule admits every client, or every port: %+v", rule)
			continue
		}
		named = append(named, rule.Ports[0].Port.String())
	}
	if diff := cmp.Diff(ports, named); diff != "" {
		t.Errorf("ports of the container and of the policy (-container +policy):\n%s", diff)
	}
}

// TestTenants compares the two tenants that are side by side: each namespace has the
// label of its tenant, and only the page of path Gateway has the path set.
func TestTenants(t *testing.T) {
	var gateway struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
		Spec              struct {
			Path egressPath `json:"path"`
		} `json:"spec"`
	}
	decode(t, "../tenants/gateway-tenant.yaml", &gateway)
	if gateway.Kind != "EgressTenant" || gateway.Spec.Path != pathGateway {
		t.Errorf("gateway-tenant.yaml is %+v", gateway)
	}
	for folder, tenant := range map[string]string{"proxy": "client-a", "gateway": gateway.Name} {
		var (
			namespace     corev1.Namespace
			kustomization struct {
				metav1.TypeMeta `json:",inline"`
				Namespace       string   `json:"namespace"`
				Resources       []string `json:"resources"`
				Patches         []struct {
					Target struct{ Kind, Name string } `json:"target"`
					Patch  string                      `json:"patch"`
				} `json:"patches"`
			}
		)
		decode(t, "../tenants/"+folder+"/namespace.yaml", &namespace)
		decode(t, "../tenants/"+folder+"/kustomization.yaml", &kustomization)
		if namespace.Name != tenant || namespace.Labels["egress.scw/tenant"] != tenant || kustomization.Namespace != tenant {
			t.Errorf("%s: namespace %q with the labels %v, kustomization for %q, want %q", folder, namespace.Name, namespace.Labels, kustomization.Namespace, tenant)
		}
		if diff := cmp.Diff([]string{"namespace.yaml", "../../deploy"}, kustomization.Resources); diff != "" {
			t.Errorf("%s: resources (-want +got):\n%s", folder, diff)
		}
		if sets := strings.Contains(readFile(t, "tenants/"+folder+"/kustomization.yaml"), "name: EGRESS_DEMO_PATH\n          value: Gateway"); sets != (folder == "gateway") {
			t.Errorf("%s: EGRESS_DEMO_PATH is Gateway: %t", folder, sets)
		}
	}
}

// decode reads a manifest; a field that its type does not have is an error.
func decode(t *testing.T, name string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(readFile(t, "deploy/"+name)), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
