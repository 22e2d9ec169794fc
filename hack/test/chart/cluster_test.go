package chart_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// The templates spell the names of the Go code.
func TestNamesMatchTheAPI(t *testing.T) {
	r := mustInstall(t, minimalValues)

	expressions := onlyWebhook(t, r).NamespaceSelector.MatchExpressions
	if expressions[0].Key != names.LabelTenant {
		t.Errorf("the webhook selects by the label %s, not %s", expressions[0].Key, names.LabelTenant)
	}
	if !strings.Contains(r.notes, names.LabelTenant+"=") {
		t.Errorf("the notes do not name the label %s", names.LabelTenant)
	}
	if got := only[*admissionregistrationv1.MutatingWebhookConfiguration](t, r).Name; got != names.FieldOwner {
		t.Errorf("the configuration is called %s, not %s as all that the webhook owns", got, names.FieldOwner)
	}

	crd := definition(t)
	group := v1alpha1.GroupVersion.Group
	plural := crd.Spec.Names.Plural
	role := webhookRole(t, r)
	for _, want := range []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"services"}},
		{APIGroups: []string{group}, Resources: []string{plural}},
		{APIGroups: []string{group}, Resources: []string{plural + "/status"}},
		{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"networkpolicies"}, ResourceNames: []string{names.PolicyName}},
		{APIGroups: []string{"apiextensions.k8s.io"}, Resources: []string{"customresourcedefinitions"}, ResourceNames: []string{crd.Name}},
	} {
		if !slices.ContainsFunc(role.Rules, func(rule rbacv1.PolicyRule) bool {
			rule.Verbs = nil
			return cmp.Equal(rule, want)
		}) {
			t.Errorf("the ClusterRole has no rule for %v", want)
		}
	}
}

// webhookRole is the ClusterRole of the webhook itself.
func webhookRole(t *testing.T, r rendered) *rbacv1.ClusterRole {
	t.Helper()
	for _, role := range all[*rbacv1.ClusterRole](r) {
		if role.Name == names.FieldOwner {
			return role
		}
	}
	t.Fatalf("no ClusterRole is called %s", names.FieldOwner)
	return nil
}

// A stolen token of the webhook must not permit more than the webhook needs.
func TestLeastPrivilege(t *testing.T) {
	r := mustInstall(t, minimalValues)
	rules := slices.Clone(webhookRole(t, r).Rules)
	roles := all[*rbacv1.Role](r)
	for _, role := range roles {
		if role.Namespace == releaseNamespace && role.Name == names.ChartName+"-services" {
			continue // TestServicesOfTenants
		}
		rules = append(rules, role.Rules...)
	}
	written := []string{"egresstenants", "egresstenants/status", "networkpolicies", "ciliumnetworkpolicies", "customresourcedefinitions", "leases", "events"}
	for _, rule := range rules {
		for _, list := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs} {
			if slices.Contains(list, "*") {
				t.Errorf("a wildcard: %v", rule)
			}
		}
		if slices.Contains(rule.Resources, "secrets") {
			t.Errorf("Secrets: %v", rule)
		}
		for _, verb := range rule.Verbs {
			if slices.Contains([]string{"get", "list", "watch"}, verb) {
				continue
			}
			for _, resource := range rule.Resources {
				if verb == names.VerbEnforce && resource == "egresstenants" {
					continue // the exemption from the guards, which writes nothing
				}
				if !slices.Contains(written, resource) {
					t.Errorf("may %s %s", verb, resource)
				}
			}
		}
	}
	account := only[*corev1.ServiceAccount](t, r)
	want := []rbacv1.Subject{{Kind: "ServiceAccount", Name: account.Name, Namespace: account.Namespace}}
	bound := map[string]bool{}
	for _, binding := range all[*rbacv1.RoleBinding](r) {
		bound[binding.Namespace+"/"+binding.RoleRef.Name] = true
		if diff := cmp.Diff(want, binding.Subjects); diff != "" {
			t.Errorf("RoleBinding %s: -want +rendered\n%s", binding.Name, diff)
		}
	}
	for _, role := range roles {
		if !bound[role.Namespace+"/"+role.Name] {
			t.Errorf("Role %s/%s is not bound", role.Namespace, role.Name)
		}
	}
	binding := only[*rbacv1.ClusterRoleBinding](t, r)
	if diff := cmp.Diff(want, binding.Subjects); diff != "" || binding.RoleRef.Name != webhookRole(t, r).Name {
		t.Errorf("ClusterRoleBinding to %s: -want +rendered\n%s", binding.RoleRef.Name, diff)
	}
}

// The Services of tenants are written in the namespace of the release alone.
func TestServicesOfTenants(t *testing.T) {
	r := mustInstall(t, minimalValues)
	for _, role := range all[*rbacv1.Role](r) {
		if role.Name != names.ChartName+"-services" {
			continue
		}
		got := map[string][]string{}
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				got[resource] = rule.Verbs
			}
		}
		want := map[string][]string{
			"services": {"create", "patch", "update", "delete"}, "endpointslices": {"get", "list", "watch", "create", "patch", "delete"},
		}
		if diff := cmp.Diff(want, got); diff != "" || role.Namespace != releaseNamespace {
			t.Errorf("Role %s in %s: -want +rendered\n%s", role.Name, role.Namespace, diff)
		}
		return
	}
	t.Error("there is no Role for the Services of tenants")
}

func TestOwnNetworkPolicy(t *testing.T) {
	r := mustInstall(t, minimalValues+`
proxy: {addresses: [172.16.28.8, "2001:db8::8"], spareAddress: 172.16.28.70}
dns: {nodeLocalAddress: 169.254.20.10}`)
	networkPolicy := only[*networkingv1.NetworkPolicy](t, r)
	requireSelects(t, "the NetworkPolicy", &networkPolicy.Spec.PodSelector, only[*appsv1.Deployment](t, r))

	for _, rule := range networkPolicy.Spec.Ingress {
		if len(rule.From) > 0 {
			t.Errorf("ingress is not open to a managed API server, which may come from anywhere: %v", rule.From)
		}
	}
	ports := func(first, last int32) networkingv1.NetworkPolicyPort {
		return networkingv1.NetworkPolicyPort{Protocol: new(corev1.ProtocolTCP), Port: new(intstr.FromInt32(first)), EndPort: new(last)}
	}
	want := []networkingv1.NetworkPolicyEgressRule{
		{
			To: []networkingv1.NetworkPolicyPeer{
				{
					NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: "kube-system"}},
					PodSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"k8s-app": "kube-dns"}},
				},
			},
			Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolUDP, 53), port(corev1.ProtocolTCP, 53)},
		},
		{
			To:    []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "169.254.20.10/32"}}},
			Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolUDP, 53), port(corev1.ProtocolTCP, 53)},
		},
		{Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolTCP, 443), port(corev1.ProtocolTCP, 6443)}},
		{
			To: []networkingv1.NetworkPolicyPeer{
				{IPBlock: &networkingv1.IPBlock{CIDR: "172.16.28.8/32"}},
				{IPBlock: &networkingv1.IPBlock{CIDR: "2001:db8::8/128"}},
				{IPBlock: &networkingv1.IPBlock{CIDR: "172.16.28.70/32"}},
			},
			// Without StatusPort, every tenant would be ProxyUnreachable.
			Ports: []networkingv1.NetworkPolicyPort{
				ports(names.StatusPort, names.TenantPortMax), ports(names.TenantPortMin+names.ReleaseOffset, names.TenantPortMax+names.ReleaseOffset),
			},
		},
	}
	if diff := cmp.Diff(want, networkPolicy.Spec.Egress); diff != "" {
		t.Errorf("egress: -want +rendered\n%s", diff)
	}
}

func port(protocol corev1.Protocol, number int32) networkingv1.NetworkPolicyPort {
	return networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: new(intstr.FromInt32(number))}
}

// The tenants of the values are the EgressTenants of the cluster, and outlive
// the release.
func TestTenants(t *testing.T) {
	if found := all[*v1alpha1.EgressTenant](mustInstall(t, minimalValues)); len(found) > 0 {
		t.Errorf("the chart ships tenants: %v", found)
	}
	list := `
tenants:
  - name: client-a
    path: Proxy
    proxy: {port: 3129}
    noProxy: [intranet.example.com, "2001:db8::1"]
  - name: "42"
    proxy: {port: 3255}`
	var values struct {
		Tenants []v1alpha1.Tenant `json:"tenants"`
	}
	if err := yaml.UnmarshalStrict([]byte(list), &values); err != nil {
		t.Fatal(err)
	}
	rendered := all[*v1alpha1.EgressTenant](mustInstall(t, minimalValues+list))
	if len(rendered) != len(values.Tenants) {
		t.Fatalf("%d tenants rendered, want %d", len(rendered), len(values.Tenants))
	}
	for i, want := range values.Tenants {
		got := rendered[i]
		if diff := cmp.Diff(want, v1alpha1.Tenant{Name: got.Name, EgressTenantSpec: got.Spec}); diff != "" {
			t.Errorf("-values +rendered\n%s", diff)
		}
		if errs := got.Validate(); len(errs) > 0 {
			t.Errorf("%s: %v", got.Name, errs.ToAggregate())
		}
		if got.Annotations["helm.sh/resource-policy"] != "keep" {
			t.Errorf("%s is removed with the release, and with it the egress path of its namespaces", got.Name)
		}
		if got.Annotations["argocd.argoproj.io/sync-options"] != "Prune=false,Delete=false" {
			t.Errorf("Argo CD prunes %s", got.Name)
		}
	}
}

// All rendered objects can be found by their labels, and are in the right
// namespace.
func TestLabelsAndNamespaces(t *testing.T) {
	scope := scheme(t)
	outside := 0
	for _, object := range mustInstall(t, minimalValues+"\ntenants: [{name: a, proxy: {port: 3129}}]").objects {
		meta, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			t.Fatal(err)
		}
		kinds, _, err := scope.ObjectKinds(object)
		if err != nil {
			t.Fatal(err)
		}
		u := unstructured.Unstructured{Object: meta}
		what := kinds[0].Kind + " " + u.GetName()
		for key, want := range map[string]string{
			"app.kubernetes.io/name": "egress-webhook", "app.kubernetes.io/instance": "egress-webhook", "app.kubernetes.io/version": load(t).Metadata.AppVersion,
			"app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "egress-webhook-" + load(t).Metadata.Version,
		} {
			if got := u.GetLabels()[key]; got != want {
				t.Errorf("%s: label %s is %q, want %q", what, key, got, want)
			}
		}
		switch u.GetNamespace() {
		case releaseNamespace, "":
		default:
			outside++
			if kinds[0].Group != rbacv1.GroupName || u.GetNamespace() != metav1.NamespaceDefault {
				t.Errorf("%s is in namespace %s", what, u.GetNamespace())
			}
		}
	}
	if outside != 2 {
		t.Errorf("%d objects outside the release namespace, want the Role for events and its binding", outside)
	}
}
