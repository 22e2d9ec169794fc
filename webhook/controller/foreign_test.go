package controller

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/settings"
)

func foreignPolicy(namespace string, egress ...networkingv1.NetworkPolicyEgressRule) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "mine", Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"}},
		Spec:       networkingv1.NetworkPolicySpec{Egress: egress, Ingress: []networkingv1.NetworkPolicyIngressRule{{}}},
	}
}

func ciliumPolicy(content map[string]any) *unstructured.Unstructured {
	object := pluginPolicies[0].object()
	object.SetNamespace("web")
	object.SetName("mine")
	object.SetLabels(map[string]string{"a": "b"})
	maps.Copy(object.Object, content)
	return object
}

// TestForeignEgressRules: policies of other clients that open egress paths make
// the tenant not ready, and are named; others do not.
func TestForeignEgressRules(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	open := map[string]any{"egress": []any{map[string]any{"toEntities": []any{"world"}}}}
	for name, test := range map[string]struct {
		object  any
		message string // "" for a ready tenant
	}{
		"NetworkPolicy":                      {foreignPolicy("web", networkingv1.NetworkPolicyEgressRule{}), "web/NetworkPolicy mine"},
		"NetworkPolicy for ingress":          {foreignPolicy("web"), ""},
		"NetworkPolicy in another namespace": {foreignPolicy("other", networkingv1.NetworkPolicyEgressRule{}), ""},
		"Cilium":                             {ciliumPolicy(map[string]any{"spec": open}), "web/CiliumNetworkPolicy mine"},
		"Cilium, several specs":              {ciliumPolicy(map[string]any{"specs": []any{map[string]any{}, open}}), "web/CiliumNetworkPolicy mine"},
		"Cilium for ingress":                 {ciliumPolicy(map[string]any{"spec": map[string]any{"ingress": []any{map[string]any{}}}}), ""},
		"Cilium denies":                      {ciliumPolicy(map[string]any{"spec": map[string]any{"egressDeny": []any{map[string]any{}}, "egress": []any{}}}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cached, err := keepWhatIsRead(test.object)
			if err != nil {
				t.Fatal(err)
			}
			server := newAPI(t, tenant.DeepCopy(), namespaceFixture("web", "client-a"), policyFixture("web", tenant), cached.(client.Object))
			_, status := reconcileTenant(t, server, settings.EgressAddresses{})
			ready := conditionOf(t, status, "Ready")
			want := "True Ready"
			if test.message != "" {
				want = "False ForeignEgressRules"
			}
			if got := summary(ready); got != want || !strings.Contains(ready.Message, test.message) {
				t.Errorf("Ready is %s: %s; want %s with %q", got, ready.Message, want, test.message)
			}
		})
	}
}

// TestForeignPoliciesAreReduced: the cache holds what is read of them, and the
// webhook's own policy as it is.
func TestForeignPoliciesAreReduced(t *testing.T) {
	t.Parallel()
	ours := policyFixture("web", tenantFixture("client-a", 3129))
	for _, test := range []struct{ object, want any }{
		{ours.DeepCopy(), ours},
		{foreignPolicy("web", networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{{}}}), &networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "mine"},
			Spec:       networkingv1.NetworkPolicySpec{Egress: []networkingv1.NetworkPolicyEgressRule{{}}},
		}},
		{foreignPolicy("web"), &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "mine"}}},
		{ciliumPolicy(map[string]any{"spec": map[string]any{"endpointSelector": map[string]any{}}, "status": map[string]any{}}), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": map[string]any{"namespace": "web", "name": "mine"},
		}}},
		{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "web", ManagedFields: []metav1.ManagedFieldsEntry{{}}}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "web"}}},
	} {
		got, err := keepWhatIsRead(test.object)
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("error %v, -want +got:\n%s", err, diff)
		}
	}
}

func TestPluginPolicies(t *testing.T) {
	t.Parallel()
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range pluginPolicies {
		mapper.Add(schema.GroupVersionKind(kind), meta.RESTScopeNamespace)
	}
	got, err := PluginPolicies(mapper)
	if diff := cmp.Diff(pluginPolicies[:2], got); diff != "" || err != nil {
		t.Errorf("error %v; Calico's kind should be watched once: -want +got:\n%s", err, diff)
	}
	if got, err := PluginPolicies(meta.NewDefaultRESTMapper(nil)); len(got) > 0 || err != nil {
		t.Errorf("without plug-ins: %v, %v", got, err)
	}
}
