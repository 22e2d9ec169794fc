package controller

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/netpol"
)

func tenantWithReason(name string, reason names.Reason) *v1alpha1.EgressTenant {
	tenant := tenantFixture(name, 3129)
	tenant.Status.Conditions = []metav1.Condition{{
		Type: names.ConditionReady, Status: metav1.ConditionFalse, Reason: string(reason), ObservedGeneration: tenant.Generation,
	}}
	return tenant
}

func elected() <-chan struct{} {
	channel := make(chan struct{})
	close(channel)
	return channel
}

func TestStateCollector(t *testing.T) {
	t.Parallel()
	outdated := tenantWithReason("outdated", names.ReasonReady)
	outdated.Generation++
	server := newAPI(t,
		tenantWithReason("a", names.ReasonReady), tenantWithReason("b", names.ReasonReady), tenantWithReason("c", names.ReasonPortConflict),
		tenantFixture("new", 3130), outdated,
		namespaceFixture("of-a", "a"), namespaceFixture("unknown", "lost"), namespaceFixture("empty", ""), namespaceFixture("pki", "lost"),
	)
	collector := NewStateCollector(server, elected(), protectedFixture())
	if err := testutil.CollectAndCompare(collector, strings.NewReader(`
# HELP egress_webhook_tenants EgressTenants, by the reason of their condition Ready. Only the leader exports it.
# TYPE egress_webhook_tenants gauge
egress_webhook_tenants{reason="CertificateNotIssued"} 0
egress_webhook_tenants{reason="CertificatePending"} 0
egress_webhook_tenants{reason="ClosedDNSMissing"} 0
egress_webhook_tenants{reason="ForeignEgressRules"} 0
egress_webhook_tenants{reason="InvalidSpec"} 0
egress_webhook_tenants{reason="Pending"} 2
egress_webhook_tenants{reason="PolicyNotApplied"} 0
egress_webhook_tenants{reason="PortConflict"} 1
egress_webhook_tenants{reason="ProtectedNamespace"} 0
egress_webhook_tenants{reason="ProxyOutOfSync"} 0
egress_webhook_tenants{reason="ProxyUnreachable"} 0
egress_webhook_tenants{reason="Ready"} 2
egress_webhook_tenants{reason="SecretNotCopied"} 0
egress_webhook_tenants{reason="ServiceAddressUnavailable"} 0
egress_webhook_tenants{reason="ServiceNotWritten"} 0
egress_webhook_tenants{reason="SidecarNotOffered"} 0
egress_webhook_tenants{reason="SidecarRequired"} 0
# HELP egress_webhook_unknown_tenant_namespaces Namespaces whose label names an EgressTenant that does not exist. Only the leader exports it.
# TYPE egress_webhook_unknown_tenant_namespaces gauge
egress_webhook_unknown_tenant_namespaces 1
`)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(collector); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
}

// TestStateCollectorOfAFollower: a sum over the replicas counts each object
// once.
func TestStateCollectorOfAFollower(t *testing.T) {
	t.Parallel()
	collector := NewStateCollector(newAPI(t, tenantFixture("a", 3129)), make(chan struct{}), sets.New[string]())
	if count := testutil.CollectAndCount(collector); count > 0 {
		t.Errorf("a follower exports %d metrics", count)
	}
}

func TestStateCollectorReportsErrors(t *testing.T) {
	t.Parallel()
	server := newAPI(t)
	server.failList = errors.New("the informer stopped")
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewStateCollector(server, elected(), sets.New[string]()))
	if _, err := registry.Gather(); err == nil || !strings.Contains(err.Error(), "the informer stopped") {
		t.Errorf("error is %v", err)
	}
}

// TestPolicyChangesAreCounted: each write is counted once, by its kind.
func TestPolicyChangesAreCounted(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	server := newAPI(t, policyFixture("edited", tenant, openToEverything), policyFixture("left", tenant))
	policies := NewPolicyApplier(server, settingsFixture())
	for _, namespace := range []string{"new", "new", "edited"} {
		if err := policies.Ensure(t.Context(), namespace, tenant, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := policies.Ensure(t.Context(), "dry", tenant, true); err != nil {
		t.Fatal(err)
	}
	left := server.policyIn(t, "left")
	for range 2 { // the second time, it does not exist any more
		if err := policies.remove(t.Context(), left); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := policies.apply(t.Context(), nil, netpol.Build(tenant, "web", settingsFixture()), changeRepaired); err != nil {
		t.Fatal(err)
	}
	server.failApply = errors.New("the disk is full")
	if err := policies.Ensure(t.Context(), "other", tenant, false); err == nil {
		t.Error("a failed write is not reported")
	}
	if err := testutil.CollectAndCompare(policies.Changes(), strings.NewReader(`
# HELP egress_webhook_policy_changes_total NetworkPolicies that this replica created, updated because the tenant, the label or the settings changed, repaired because another client deleted or edited them, or removed.
# TYPE egress_webhook_policy_changes_total counter
egress_webhook_policy_changes_total{change="created"} 1
egress_webhook_policy_changes_total{change="removed"} 1
egress_webhook_policy_changes_total{change="repaired"} 1
egress_webhook_policy_changes_total{change="updated"} 1
`)); err != nil {
		t.Error(err)
	}
}
