package controller

import (
	"context"
	"sync/atomic"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
)

// statusWith returns the status and the events of client-a with this reconciler of
// sidecars, nil for none, and what the settings lack.
func statusWith(t *testing.T, server *api, sidecars *SidecarReconciler, unsupported ...*inject.Refusal) (v1alpha1.EgressTenantStatus, []string) {
	t.Helper()
	seen := &recorder{}
	r := &TenantReconciler{
		Client: server, Policies: NewPolicyApplier(server, settingsFixture()), Protected: protectedFixture(),
		Unsupported: func(*v1alpha1.EgressTenant) *inject.Refusal { return append(unsupported, nil)[0] },
		DirectURL:   func(*v1alpha1.EgressTenant) string { return "http://172.16.28.8:3129" }, NoProxy: func(*v1alpha1.EgressTenant) string { return "" },
		Sidecars: sidecars, Events: seen,
	}
	if _, err := r.Reconcile(t.Context(), requestFor("client-a")); err != nil {
		t.Fatal(err)
	}
	return get(t, server, "", "client-a", &v1alpha1.EgressTenant{}).Status, seen.events
}

// A tenant with sidecars is ready once its certificate is in its namespaces.
func TestStatusOfSidecars(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t)
	server, sidecars := issued(t, authority, policyFixture("web", tenantWithSidecar("client-a", 3129)))
	status, events := statusWith(t, server, sidecars)
	if got := summary(conditionOf(t, status, names.ConditionSidecarReady)); got != "True SidecarReady" || len(events) > 0 {
		t.Errorf("SidecarReady is %s, events %q", got, events)
	}
	if got := summary(conditionOf(t, status, names.ConditionReady)); got != "True Ready" {
		t.Errorf("Ready is %s", got)
	}

	sidecars.states["client-a"] = sidecarState{reason: names.ReasonCertificateNotIssued, message: "cert-manager is away"}
	status, events = statusWith(t, server, sidecars)
	for _, condition := range []string{names.ConditionSidecarReady, names.ConditionReady} {
		if got := conditionOf(t, status, condition); summary(got) != "False CertificateNotIssued" || got.Message != "cert-manager is away" {
			t.Errorf("%s is %s: %s", condition, summary(got), got.Message)
		}
	}
	checkEvents(t, events, []string{"client-a Warning/CertificateNotIssued PublishStatus: cert-manager is away"})

	tenant := get(t, server, "", "client-a", &v1alpha1.EgressTenant{})
	tenant.Spec.Sidecar = nil
	if err := server.Update(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	status, _ = statusWith(t, server, sidecars)
	if found := meta.FindStatusCondition(status.Conditions, names.ConditionSidecarReady); found != nil {
		t.Errorf("a tenant without sidecars has the condition %+v", found)
	}
}

// Where the settings lack what sidecars need, both conditions have the reason for which
// pods are refused, whether or not there are certificates.
func TestStatusOfUnsupportedSidecars(t *testing.T) {
	t.Parallel()
	refusal := &inject.Refusal{Reason: names.ReasonSidecarNotOffered, Message: "set spec.proxy.identity in egress.yaml"}
	for name, sidecars := range map[string]func(*api) *SidecarReconciler{
		"no certificates": func(*api) *SidecarReconciler { return nil },
		"certificates": func(server *api) *SidecarReconciler {
			r := newSidecarReconciler(t, server)
			reconcileSidecars(t, r, "client-a")
			return r
		},
	} {
		server := newAPI(t, tenantWithSidecar("client-a", 3129))
		status, events := statusWith(t, server, sidecars(server), refusal)
		for _, condition := range []string{names.ConditionSidecarReady, names.ConditionReady} {
			if got := conditionOf(t, status, condition); summary(got) != "False SidecarNotOffered" || got.Message != refusal.Message {
				t.Errorf("%s: %s is %s: %s", name, condition, summary(got), got.Message)
			}
		}
		checkEvents(t, events, []string{"client-a Warning/SidecarNotOffered PublishStatus: set spec.proxy.identity in egress.yaml"})
	}
}

// The status is not written before the certificate has been looked at: a new leader
// would report every tenant as not ready.
func TestStatusWaitsForTheCertificate(t *testing.T) {
	t.Parallel()
	server := newAPI(t, tenantWithSidecar("client-a", 3129))
	sidecars := newSidecarReconciler(t, server)
	if _, events := statusWith(t, server, sidecars); server.statusWrites > 0 || len(events) > 0 {
		t.Errorf("%d status writes, events %q", server.statusWrites, events)
	}
	reconcileSidecars(t, sidecars, "client-a")
	select {
	case <-sidecars.changes:
	default:
		t.Error("the tenant is not reconciled again")
	}
	if statusWith(t, server, sidecars); server.statusWrites != 1 {
		t.Errorf("%d status writes", server.statusWrites)
	}
}

// countingReader counts the requests to the API server.
type countingReader struct {
	client.Reader
	requests *atomic.Int64
}

func (c countingReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	c.requests.Add(1)
	return c.Reader.Get(ctx, key, object, options...)
}

func (c countingReader) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	c.requests.Add(1)
	return c.Reader.List(ctx, list, options...)
}

// A tenant without sidecars costs one request, however often it and its namespaces
// change.
func TestTenantsWithoutSidecarsCostNoRequests(t *testing.T) {
	t.Parallel()
	server := newAPI(t, tenantFixture("client-a", 3129), namespaceFixture("web", "client-a"))
	requests := &atomic.Int64{}
	options := sidecarOptions(t, server)
	options.Live = countingReader{server, requests}
	r := NewSidecarReconciler(options)
	for range 10 {
		reconcileSidecars(t, r, "client-a")
	}
	if got := requests.Load(); got != 1 || server.applied+server.deleted > 0 {
		t.Errorf("%d requests, %d writes", got, server.applied+server.deleted)
	}
}
