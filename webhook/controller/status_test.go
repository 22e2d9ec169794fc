package controller

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
)

func TestTenantStatus(t *testing.T) {
	t.Parallel()
	type expectation struct {
		ready, applied string // status, reason
		message        string // in Ready's
		proxyURL       string
	}
	for name, test := range map[string]struct {
		change func(*tenantFacts)
		want   expectation
	}{
		"ready": {
			func(*tenantFacts) {},
			expectation{"True Ready", "True PolicyApplied", "The proxy at http://172.16.28.8:3129 is the only egress path", "http://172.16.28.8:3129"},
		},
		"path Gateway": {
			func(f *tenantFacts) { f.tenant.Spec.Path, f.tenant.Spec.Proxy = v1alpha1.PathGateway, nil },
			expectation{"True Ready", "True PolicyApplied", "reach the public internet directly, by the Public Gateway, and nothing else", ""},
		},
		"with clusterAccess": {
			func(f *tenantFacts) { f.tenant.Spec.ClusterAccess = []v1alpha1.ClusterAccess{{APIServer: true}} },
			expectation{"True Ready", "True PolicyApplied", "is the only egress path of the tenant's pods beside spec.clusterAccess", "http://172.16.28.8:3129"},
		},
		"a public range in clusterAccess": {
			func(f *tenantFacts) {
				f.tenant.Spec.ClusterAccess = []v1alpha1.ClusterAccess{{CIDR: "0.0.0.0/0", Ports: []int32{443}}}
			},
			expectation{"False InvalidSpec", "True PolicyApplied", "spec.clusterAccess[0].cidr: Invalid value", ""},
		},
		"no namespace yet": {
			func(f *tenantFacts) { f.namespaces = nil },
			expectation{"True Ready", "True PolicyApplied", "http://172.16.28.8:3129", "http://172.16.28.8:3129"},
		},
		"a policy is out of sync": {
			func(f *tenantFacts) { f.outOfSync = []string{"web"} },
			expectation{"False PolicyNotApplied", "False PolicyNotApplied", "NetworkPolicy egress-scw is missing or out of sync in web", "http://172.16.28.8:3129"},
		},
		"a policy of Cilium is out of sync": {
			func(f *tenantFacts) { f.outOfSyncCilium = []string{"web"} },
			expectation{"False PolicyNotApplied", "False PolicyNotApplied", "CiliumNetworkPolicy egress-scw is missing or out of sync in web: the API server", "http://172.16.28.8:3129"},
		},
		"a policy of Cilium is left over": {
			func(f *tenantFacts) { f.leftCilium = []string{"web"} },
			expectation{"False PolicyNotApplied", "False PolicyNotApplied", "CiliumNetworkPolicy egress-scw is left over in web", "http://172.16.28.8:3129"},
		},
		"a protected namespace is labelled": {
			func(f *tenantFacts) { f.protected = []string{"kube-system", "pki"} },
			expectation{"False ProtectedNamespace", "True PolicyApplied", "depends on pods in kube-system, pki, which", "http://172.16.28.8:3129"},
		},
		"only a protected namespace is labelled": {
			func(f *tenantFacts) { f.protected, f.namespaces = []string{"kube-system"}, nil },
			expectation{"False ProtectedNamespace", "True PolicyApplied", "remove the label egress.scw/tenant=client-a there (kubectl label namespace NAME egress.scw/tenant-)", "http://172.16.28.8:3129"},
		},
		"a protected namespace is labelled, another one out of sync": {
			func(f *tenantFacts) { f.protected, f.outOfSync = []string{"kube-system"}, []string{"web"} },
			expectation{"False ProtectedNamespace", "False PolicyNotApplied", "depends on pods in kube-system, which", "http://172.16.28.8:3129"},
		},
		"another tenant has the port": {
			func(f *tenantFacts) { f.portHolders = []string{"client-b", "client-c"} },
			expectation{"False PortConflict", "True PolicyApplied", "Port 3129 is also the port of client-b, client-c", "http://172.16.28.8:3129"},
		},
		"another tenant has the port, to which only this tenant's pods are admitted": {
			func(f *tenantFacts) { f.portHolders, f.proxy = []string{"client-b"}, servedFixture() },
			expectation{"True Ready", "True PolicyApplied", "egress path of the tenant's pods. client-b also has port 3129, and its pods are not admitted to it", "http://172.16.28.8:3129"},
		},
		"another tenant has the port, to which the pods of both are admitted": {
			func(f *tenantFacts) {
				f.portHolders, f.othersAdmitted, f.proxy = []string{"client-b"}, true, servedFixture()
			},
			expectation{"False PortConflict", "True PolicyApplied", "Port 3129 is also the port of client-b", "http://172.16.28.8:3129"},
		},
		"another tenant has the port, to which this tenant's pods are not admitted": {
			func(f *tenantFacts) {
				f.portHolders, f.othersAdmitted, f.proxy = []string{"client-b"}, true, servedFixture()
				f.proxy.admitted = false
			},
			expectation{"False PortConflict", "True PolicyApplied", "Port 3129 is also the port of client-b", ""},
		},
		"the spec is wrong in two places": {
			func(f *tenantFacts) {
				f.tenant.Spec.Proxy.Port = 80
				f.tenant.Spec.NoProxy = []string{"*.example.com"}
			},
			expectation{"False InvalidSpec", "True PolicyApplied", "spec.proxy.port: Invalid value: 80", ""},
		},
		"the message has all errors": {
			func(f *tenantFacts) {
				f.tenant.Spec.Proxy.Port = 80
				f.tenant.Spec.NoProxy = []string{"*.example.com"}
			},
			expectation{"False InvalidSpec", "True PolicyApplied", "; spec.noProxy[0]: Invalid value", ""},
		},
		"the settings have no sidecar": {
			func(f *tenantFacts) {
				f.unsupported = &inject.Refusal{Reason: names.ReasonSidecarNotOffered, Message: "set spec.proxy.identity in egress.yaml"}
				f.portHolders = []string{"client-b"}
			},
			expectation{"False SidecarNotOffered", "True PolicyApplied", "set spec.proxy.identity in egress.yaml", "http://172.16.28.8:3129"},
		},
		"the most severe reason comes first": {
			func(f *tenantFacts) {
				f.tenant.Spec.Proxy.Port = 80
				f.portHolders, f.outOfSync, f.protected = []string{"client-b"}, []string{"web"}, []string{"kube-system"}
			},
			expectation{"False InvalidSpec", "False PolicyNotApplied", "spec.proxy.port", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			facts := tenantFacts{
				tenant:     tenantFixture("client-a", 3129),
				namespaces: []string{"api", "web"},
				proxyURL:   "http://172.16.28.8:3129",
			}
			facts.tenant.Generation = 7
			test.change(&facts)
			status := tenantStatus(facts, metav1.Now())

			ready, applied := conditionOf(t, status, names.ConditionReady), conditionOf(t, status, names.ConditionPolicyApplied)
			got := expectation{summary(ready), summary(applied), test.want.message, status.ProxyURL}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(expectation{})); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			if !strings.Contains(ready.Message, test.want.message) {
				t.Errorf("the message of Ready is %q, want %q in it", ready.Message, test.want.message)
			}
			if int(status.NamespaceCount) != len(facts.namespaces) {
				t.Errorf("%d namespaces are counted, want %d", status.NamespaceCount, len(facts.namespaces))
			}
			if diff := cmp.Diff(facts.namespaces, status.Namespaces); diff != "" {
				t.Errorf("namespaces (-want +got):\n%s", diff)
			}
			if status.ObservedGeneration != 7 || ready.ObservedGeneration != 7 || applied.ObservedGeneration != 7 {
				t.Errorf("generations are %d, %d and %d, want 7", status.ObservedGeneration, ready.ObservedGeneration, applied.ObservedGeneration)
			}
		})
	}
}

// servedFixture is about a tenant that the proxy serves, and whose pods are admitted.
func servedFixture() *proxyFacts {
	return &proxyFacts{reason: names.ReasonProxyReachable, message: "Port 3129 of the proxy serves the tenant", admitted: true}
}

// TestTenantStatusHasSourceAddresses: only a tenant with a valid spec has egress
// addresses.
func TestTenantStatusHasSourceAddresses(t *testing.T) {
	t.Parallel()
	facts := tenantFacts{tenant: tenantFixture("client-a", 3129), egressAddresses: []netip.Addr{netip.MustParseAddr("203.0.113.50"), netip.MustParseAddr("2001:db8::50")}}
	if diff := cmp.Diff([]string{"203.0.113.50", "2001:db8::50"}, tenantStatus(facts, metav1.Now()).SourceAddresses); diff != "" {
		t.Errorf("sourceAddresses (-want +got):\n%s", diff)
	}
	facts.tenant.Spec.Proxy.Port = 80
	if got := tenantStatus(facts, metav1.Now()).SourceAddresses; len(got) > 0 {
		t.Errorf("an invalid tenant has the egress addresses %q", got)
	}
	facts.tenant.Spec.Proxy.Port = 3129
	facts.egressAddresses = make([]netip.Addr, 17)
	if got := tenantStatus(facts, metav1.Now()).SourceAddresses; len(got) != v1alpha1.MaxStatusSourceAddresses {
		t.Errorf("%d egress addresses, want %d", len(got), v1alpha1.MaxStatusSourceAddresses)
	}
}

// TestStatusHasNoProxy: the status contains NO_PROXY of tenants that use the proxy.
func TestStatusHasNoProxy(t *testing.T) {
	t.Parallel()
	facts := tenantFacts{tenant: tenantFixture("client-a", 3129), noProxy: "localhost,.svc"}
	if got := tenantStatus(facts, metav1.Now()).NoProxy; got != "localhost,.svc" {
		t.Errorf("noProxy is %q", got)
	}
	facts.tenant.Spec.Path, facts.tenant.Spec.Proxy = v1alpha1.PathGateway, nil
	if got := tenantStatus(facts, metav1.Now()).NoProxy; got != "" {
		t.Errorf("noProxy is %q with path Gateway", got)
	}
}

func conditionOf(t *testing.T, status v1alpha1.EgressTenantStatus, conditionType string) metav1.Condition {
	t.Helper()
	condition := meta.FindStatusCondition(status.Conditions, conditionType)
	if condition == nil {
		t.Fatalf("no condition %s in %+v", conditionType, status.Conditions)
	}
	if condition.Message == "" {
		t.Errorf("condition %s has no message", conditionType)
	}
	return *condition
}

func summary(condition metav1.Condition) string {
	return fmt.Sprintf("%s %s", condition.Status, condition.Reason)
}

// TestTenantStatusTimes: a condition's transition time is the time at which its
// status changed, not the time of the last reconcile.
func TestTenantStatusTimes(t *testing.T) {
	t.Parallel()
	facts := tenantFacts{tenant: tenantFixture("client-a", 3129), namespaces: []string{"web"}, outOfSync: []string{"web"}}
	first, second, third := metav1.Unix(1000, 0), metav1.Unix(2000, 0), metav1.Unix(3000, 0)
	facts.tenant.Status = tenantStatus(facts, first)
	before := facts.tenant.Status.DeepCopy()

	again := tenantStatus(facts, second)
	if diff := cmp.Diff(*before, again); diff != "" {
		t.Errorf("the same facts give another status (-first +second):\n%s", diff)
	}
	facts.outOfSync = nil
	changed := tenantStatus(facts, third)
	if got := conditionOf(t, changed, names.ConditionReady).LastTransitionTime; !got.Equal(&third) {
		t.Errorf("Ready changed at %s, want %s", got.UTC().Format(time.TimeOnly), third.UTC().Format(time.TimeOnly))
	}
	if diff := cmp.Diff(*before, facts.tenant.Status); diff != "" {
		t.Errorf("computing changed the tenant it was computed from:\n%s", diff)
	}
}

// TestTenantStatusKeepsOtherConditions: other controllers may add conditions.
func TestTenantStatusKeepsOtherConditions(t *testing.T) {
	t.Parallel()
	facts := tenantFacts{tenant: tenantFixture("client-a", 3129)}
	other := metav1.Condition{Type: "Other", Status: metav1.ConditionTrue, Reason: "Seen", Message: "seen"}
	facts.tenant.Status.Conditions = []metav1.Condition{other}
	if diff := cmp.Diff(other, conditionOf(t, tenantStatus(facts, metav1.Now()), "Other")); diff != "" {
		t.Errorf("the other condition (-want +got):\n%s", diff)
	}
}

// TestPolicyAppliedMessage: the message covers the namespaces that the condition
// covers.
func TestPolicyAppliedMessage(t *testing.T) {
	t.Parallel()
	for want, facts := range map[string]tenantFacts{
		"is in sync in every namespace of the tenant (2)":                     {namespaces: []string{"api", "web"}, protected: []string{"kube-system"}},
		"No namespace has the label egress.scw/tenant=client-a":               {},
		"Only protected namespaces have the label egress.scw/tenant=client-a": {protected: []string{"kube-system"}},
	} {
		facts.tenant = tenantFixture("client-a", 3129)
		if got := conditionOf(t, tenantStatus(facts, metav1.Now()), names.ConditionPolicyApplied).Message; !strings.Contains(got, want) {
			t.Errorf("the message of PolicyApplied is %q, want %q in it", got, want)
		}
	}
}

func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	facts := tenantFacts{tenant: tenantFixture("client-a", 3129)}
	for i := range 5000 {
		facts.outOfSync = append(facts.outOfSync, fmt.Sprintf("namespace-%04d", i))
	}
	for range 64 {
		facts.tenant.Spec.NoProxy = append(facts.tenant.Spec.NoProxy, strings.Repeat("*", 253))
	}
	status := tenantStatus(facts, metav1.Now())
	ready, applied := conditionOf(t, status, names.ConditionReady), conditionOf(t, status, names.ConditionPolicyApplied)
	if !strings.HasSuffix(applied.Message, "namespace-0007 and 4992 more") {
		t.Errorf("the message of PolicyApplied is %q", applied.Message)
	}
	if !strings.HasSuffix(ready.Message, "; and 56 more") {
		t.Errorf("the message of Ready is %q", ready.Message)
	}
	// maxLength of a condition's message in the API server's schema.
	for _, message := range []string{ready.Message, applied.Message} {
		if len(message) > 32768 {
			t.Errorf("a message of %d bytes", len(message))
		}
	}
}

// TestStatusIsBounded: a tenant of very many namespaces has the first of them in
// its status, and their number.
func TestStatusIsBounded(t *testing.T) {
	t.Parallel()
	facts := tenantFacts{tenant: tenantFixture("client-a", 3129)}
	for i := range 250 {
		facts.namespaces = append(facts.namespaces, fmt.Sprintf("ns-%03d", i))
	}
	status := tenantStatus(facts, metav1.Now())
	if len(status.Namespaces) != v1alpha1.MaxStatusNamespaces || status.Namespaces[99] != "ns-099" || status.NamespaceCount != 250 {
		t.Errorf("%d namespaces of %d", len(status.Namespaces), status.NamespaceCount)
	}
}
