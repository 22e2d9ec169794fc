package controller

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/netpol"
)

func endpointsFixture(namespace, service string, port int32, addresses ...string) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: service + "-1", Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		Endpoints:  []discoveryv1.Endpoint{{Addresses: addresses}},
		Ports:      []discoveryv1.EndpointPort{{Port: &port}, {}},
	}
}

// TestPolicyWithAPIServer: the policy of a tenant with access to the API server has
// the addresses at which it listens.
func TestPolicyWithAPIServer(t *testing.T) {
	t.Parallel()
	server := newAPI(t,
		endpointsFixture("default", "kubernetes", 6443, "10.9.8.7", "fd00::1", "not-an-address"),
		endpointsFixture("default", "other", 80, "10.0.0.1"), endpointsFixture("web", "kubernetes", 80, "10.0.0.2"))
	addresses := []netip.AddrPort{netip.MustParseAddrPort("10.9.8.7:6443"), netip.MustParseAddrPort("[fd00::1]:6443")}
	got, err := APIServerAddresses(t.Context(), server)
	if diff := cmp.Diff(addresses, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" || err != nil {
		t.Errorf("addresses (-want +got): %v\n%s", err, diff)
	}
	tenant := tenantFixture("client-a", 3129)
	tenant.Spec.ClusterAccess = []v1alpha1.ClusterAccess{{APIServer: true}}
	policies := NewPolicyApplier(server, settingsFixture())
	if err := policies.Ensure(t.Context(), "web", tenant, false); err != nil {
		t.Fatal(err)
	}
	checkPolicy(t, server.policyIn(t, "web"), netpol.Build(tenant, "web", settingsFixture(), addresses...))

	// Its namespaces are reconciled when the addresses change, and no others.
	for _, object := range []*v1alpha1.EgressTenant{tenant, tenantFixture("client-b", 3130)} {
		if err := server.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	for name, owner := range map[string]string{"web": "client-a", "shop": "client-b"} {
		if err := server.Create(t.Context(), namespaceFixture(name, owner)); err != nil {
			t.Fatal(err)
		}
	}
	checkRequests(t, namespaceRequests{server}.ofAPIServer(t.Context(), endpointsFixture("default", "kubernetes", 6443, "172.16.28.2")), "web")
}
