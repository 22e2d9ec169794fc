// Package statetest is a healthy cluster with two tenants, for tests.
package statetest

import (
	"encoding/json"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/kubectl-egress/state"
	"egress.scw/webhook/netpol"
	"egress.scw/webhook/settings"
)

// Settings is the settings file of the cluster.
const Settings = `apiVersion: egress.scw/v1alpha1
kind: WebhookSettings
proxy:
  addresses: [172.16.28.8]
  egressAddresses:
    shared: [203.0.113.50]
    dedicated: {client-b: [203.0.113.51]}
cluster:
  cidrs: [10.32.0.0/20, 100.64.0.0/15, 172.16.28.0/22]
`

// Version is the version of the webhook.
const Version = "0.1.0"

// ServiceHost is the address of the API server for pods.
const ServiceHost = "10.32.0.1"

// Namespaces of the cluster: two of client-a, one of client-b, one without a tenant.
const (
	Orders  = "orders"
	Stock   = "stock"
	Billing = "billing"
	Tools   = "tools"
)

// Tenants are client-a with an allow list, and client-b without one, each as the
// webhook's controllers leave it.
func Tenants() []v1alpha1.EgressTenant {
	a := tenant("client-a", 3129, "10.32.4.31", "203.0.113.50")
	a.Spec.Allow = &v1alpha1.AllowSpec{Mode: policy.ModeEnforce, Domains: []string{"api.github.com", ".example.com", "httpbin.org"}, Ports: []int32{80, 443}}
	b := tenant("client-b", 3130, "10.32.4.32", "203.0.113.51")
	b.Spec.Proxy.EgressIP = v1alpha1.EgressIPDedicated
	return []v1alpha1.EgressTenant{a, b}
}

func tenant(name string, port int32, service, address string) v1alpha1.EgressTenant {
	url := fmt.Sprintf("http://%s:%d", service, names.ServicePort)
	t := v1alpha1.EgressTenant{
		TypeMeta:   metav1.TypeMeta{APIVersion: "egress.scw/v1alpha1", Kind: "EgressTenant"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 1},
		Spec:       v1alpha1.EgressTenantSpec{Path: v1alpha1.PathProxy, Proxy: &v1alpha1.TenantProxy{Port: port}},
	}
	t.Status = v1alpha1.EgressTenantStatus{ObservedGeneration: 1, ProxyURL: url, AdmittedPort: port, ServiceIP: service, SourceAddresses: []string{address}, EgressAddresses: address}
	condition := func(kind string, reason names.Reason, message string) {
		t.Status.Conditions = append(t.Status.Conditions, metav1.Condition{
			Type: kind, Status: metav1.ConditionTrue, Reason: string(reason), Message: message, ObservedGeneration: 1,
		})
	}
	condition(names.ConditionReady, names.ReasonReady, "The proxy at "+url+" is the only egress path of the tenant's pods")
	condition(names.ConditionPolicyApplied, names.ReasonPolicyApplied, "NetworkPolicy egress-scw is in sync in every namespace of the tenant")
	condition(names.ConditionGuarded, names.ReasonGuardsPresent, "Every guard of the chart has a binding")
	condition(names.ConditionProxyReachable, names.ReasonProxyReachable, fmt.Sprintf("Port %d of the proxy serves the tenant", port))
	condition(names.ConditionServiceReady, names.ReasonServiceReady, fmt.Sprintf("The Service egress-system/%s leads to port %d of 172.16.28.8", names.TenantService(name), port))
	return t
}

// Namespace returns a namespace; an empty tenant stands for none.
func Namespace(name, tenant string) corev1.Namespace {
	n := corev1.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}}
	n.Name, n.Labels = name, map[string]string{corev1.LabelMetadataName: name}
	if tenant != "" {
		n.Labels[names.LabelTenant], n.Labels["pod-security.kubernetes.io/enforce"] = tenant, "baseline"
	}
	return n
}

// Healthy returns the State of the cluster.
func Healthy(t testing.TB) *state.State {
	t.Helper()
	parsed, err := settings.Parse([]byte(Settings))
	if err != nil {
		t.Fatal(err)
	}
	s := &state.State{
		Settings: parsed, Tenants: Tenants(), Policies: map[string]*networkingv1.NetworkPolicy{}, Foreign: map[string][]string{},
		Namespaces: []corev1.Namespace{Namespace(Billing, "client-b"), Namespace(Orders, "client-a"), Namespace(Stock, "client-a"), Namespace(Tools, "")},
	}
	s.Webhook = &state.Webhook{Name: "egress-system/egress-webhook", Ready: 2}
	if s.Cluster, err = state.NewCluster(parsed, ServiceHost, Version); err != nil {
		t.Fatal(err)
	}
	for i := range s.Namespaces {
		namespace, _ := s.Namespace(s.Namespaces[i].Name)
		if tenant := s.TenantOf(namespace); tenant != nil {
			s.Policies[namespace.Name] = netpol.Build(tenant, namespace.Name, parsed)
		}
	}
	return s
}

// Pod returns a pod that has not been injected.
func Pod(namespace, name string) *corev1.Pod {
	return &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

// Inject returns the pod as the webhook admits it.
func Inject(t testing.TB, s *state.State, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	raw, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := state.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	namespace, _ := s.Namespace(pod.Namespace)
	patched, err := state.Apply(raw, s.Admit(decoded, namespace).Patch)
	if err != nil {
		t.Fatal(err)
	}
	injected := &corev1.Pod{}
	if err := json.Unmarshal(patched, injected); err != nil {
		t.Fatal(err)
	}
	return injected
}

// Deployment is that of the webhook.
func Deployment() *appsv1.Deployment {
	d := &appsv1.Deployment{}
	d.Namespace, d.Name, d.Labels = "egress-system", "egress-webhook", map[string]string{names.ChartLabel: names.ChartName}
	d.Status.ReadyReplicas = 2
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "webhook", Image: "egress.scw/webhook:" + Version}}
	return d
}
