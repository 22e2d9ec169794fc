package netpol

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/webhook/api/v1alpha1"
)

func TestInSync(t *testing.T) {
	t.Parallel()
	tenant := &v1alpha1.EgressTenant{ObjectMeta: metav1.ObjectMeta{Name: "client-a"}}
	tenant.Spec.Proxy = &v1alpha1.TenantProxy{Port: 3129}
	wanted := Build(tenant, "web", exampleSettings())
	for name, test := range map[string]struct {
		change func(*networkingv1.NetworkPolicy)
		want   bool
	}{
		"as built":              {func(*networkingv1.NetworkPolicy) {}, true},
		"other labels":          {func(p *networkingv1.NetworkPolicy) { p.Labels["team"] = "platform" }, true},
		"annotations":           {func(p *networkingv1.NetworkPolicy) { p.Annotations = map[string]string{"note": "seen"} }, true},
		"empty instead of none": {func(p *networkingv1.NetworkPolicy) { p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{} }, true},
		"no tenant label":       {func(p *networkingv1.NetworkPolicy) { p.Labels = nil }, false},
		"another rule": {func(p *networkingv1.NetworkPolicy) {
			p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{})
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			observed := wanted.DeepCopy()
			test.change(observed)
			if got := InSync(observed, wanted); got != test.want {
				t.Errorf("InSync is %t, want %t", got, test.want)
			}
		})
	}
	if InSync(nil, wanted) {
		t.Error("a missing policy is in sync")
	}
}
