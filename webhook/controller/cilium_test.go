package controller

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/netpol"
	"egress.scw/webhook/settings"
)

// withDNSCache are settings with which every tenant needs a CiliumNetworkPolicy.
func withDNSCache() *settings.Settings {
	s := settingsFixture()
	s.DNS.NodeLocal = netip.MustParseAddr("169.254.20.10")
	return s
}

// ciliumFixture is the policy of the tenant in the namespace "web", changed.
func ciliumFixture(tenant *v1alpha1.EgressTenant, changes ...func(map[string]any)) *unstructured.Unstructured {
	policy := netpol.BuildCilium(tenant, "web", withDNSCache())
	policy.SetUID("the-first")
	for _, change := range changes {
		change(policy.Object)
	}
	return policy
}

func ciliumOpen(object map[string]any) {
	object["spec"].(map[string]any)["egress"] = []any{map[string]any{"toEntities": []any{"all"}}}
}

func ciliumSpecs(object map[string]any) { object["specs"] = []any{map[string]any{}} }

func ciliumWithoutLabel(object map[string]any) {
	delete(object["metadata"].(map[string]any), "labels")
}

func ciliumEnding(object map[string]any) {
	metadata := object["metadata"].(map[string]any)
	metadata["deletionTimestamp"], metadata["finalizers"] = "2026-01-01T00:00:00Z", []any{"example.test/keep"}
}

func reconcileCilium(t *testing.T, server *api, s *settings.Settings) ([]string, error) {
	t.Helper()
	seen := &recorder{}
	r := &CiliumReconciler{Cache: server, Writer: server, Policies: NewPolicyApplier(server, s), Protected: protectedFixture(), Events: seen}
	_, err := r.Reconcile(t.Context(), requestFor("web"))
	return seen.events, err
}

func ciliumIn(t *testing.T, server *api) *unstructured.Unstructured {
	t.Helper()
	policy, err := getCiliumPolicy(t.Context(), server, "web")
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

// TestReconcileCilium: the policy follows namespace, tenant and settings, in as many
// reconciles as there are writes.
func TestReconcileCilium(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	right := ciliumFixture(tenant)
	foreign := ciliumFixture(tenant, ciliumOpen, ciliumWithoutLabel)
	for name, test := range map[string]struct {
		objects  []client.Object
		settings *settings.Settings
		writes   int
		want     *unstructured.Unstructured // nil for none
	}{
		"labelled":                   {[]client.Object{tenant, namespaceFixture("web", "client-a")}, withDNSCache(), 1, right},
		"in sync":                    {[]client.Object{tenant, namespaceFixture("web", "client-a"), right}, withDNSCache(), 0, right},
		"opened by another client":   {[]client.Object{tenant, namespaceFixture("web", "client-a"), ciliumFixture(tenant, ciliumOpen)}, withDNSCache(), 1, right},
		"a list of specs":            {[]client.Object{tenant, namespaceFixture("web", "client-a"), ciliumFixture(tenant, ciliumSpecs)}, withDNSCache(), 2, right},
		"another tenant's":           {[]client.Object{tenant, namespaceFixture("web", "client-a"), ciliumFixture(tenantFixture("client-b", 3130))}, withDNSCache(), 1, right},
		"not needed":                 {[]client.Object{tenant, namespaceFixture("web", "client-a")}, settingsFixture(), 0, nil},
		"not needed any more":        {[]client.Object{tenant, namespaceFixture("web", "client-a"), right}, settingsFixture(), 1, nil},
		"another client's, unneeded": {[]client.Object{tenant, namespaceFixture("web", "client-a"), foreign}, settingsFixture(), 1, nil},
		"label removed":              {[]client.Object{tenant, namespaceFixture("web", ""), right}, withDNSCache(), 1, nil},
		"without a tenant, another client's": {
			[]client.Object{tenant, namespaceFixture("web", ""), foreign}, withDNSCache(), 0, foreign,
		},
		"unknown tenant":    {[]client.Object{namespaceFixture("web", "client-a"), right}, withDNSCache(), 1, nil},
		"being deleted":     {[]client.Object{tenant, namespaceFixture("web", ""), ciliumFixture(tenant, ciliumEnding)}, withDNSCache(), 0, right},
		"no such namespace": {[]client.Object{tenant}, withDNSCache(), 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, copies(test.objects)...)
			for range 3 {
				if events, err := reconcileCilium(t, server, test.settings); err != nil || len(events) > 0 {
					t.Fatalf("error %v, events %q", err, events)
				}
			}
			if writes := server.applied + server.deleted; writes != test.writes {
				t.Errorf("%d writes, want %d", writes, test.writes)
			}
			got := ciliumIn(t, server)
			if (got == nil) != (test.want == nil) {
				t.Fatalf("the policy is %v, want %v", got, test.want)
			}
			if got == nil {
				return
			}
			for _, field := range []string{"spec", "specs"} {
				if diff := cmp.Diff(test.want.Object[field], got.Object[field]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", field, diff)
				}
			}
			if diff := cmp.Diff(test.want.GetLabels(), got.GetLabels()); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCiliumPolicyLeftOver: a policy that the tenant does not need any more opens a path,
// so that the tenant is not ready until it is gone.
func TestCiliumPolicyLeftOver(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	for name, test := range map[string]struct {
		left client.Object
		want string
	}{
		"none":             {namespaceFixture("other", ""), "True PolicyApplied"},
		"one":              {ciliumFixture(tenant), "False PolicyNotApplied"},
		"with a finalizer": {ciliumFixture(tenant, ciliumEnding), "False PolicyNotApplied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, copies([]client.Object{tenant, namespaceFixture("web", "client-a"), policyFixture("web", tenant), test.left})...)
			_, status := reconcileTenant(t, server, settings.EgressAddresses{})
			if got := summary(conditionOf(t, status, names.ConditionPolicyApplied)); got != test.want {
				t.Errorf("PolicyApplied is %s, want %s", got, test.want)
			}
		})
	}
}

// Namespaces that are protected, or that end, have no policy.
func TestDecideCiliumForNamespaces(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	labelled, ending := namespaceFixture("web", "client-a"), namespaceFixture("web", "client-a")
	ending.DeletionTimestamp = new(metav1.Now())
	right := ciliumFixture(tenant)
	for name, test := range map[string]struct {
		facts ciliumFacts
		want  action
	}{
		"protected":                 {ciliumFacts{namespace: labelled, protected: true}, actionNone},
		"protected, with ours":      {ciliumFacts{namespace: labelled, protected: true, observed: right}, actionRemove},
		"protected, with another's": {ciliumFacts{namespace: labelled, protected: true, observed: ciliumFixture(tenant, ciliumWithoutLabel)}, actionNone},
		"ending":                    {ciliumFacts{namespace: ending, wanted: right}, actionNone},
		"ending, opened":            {ciliumFacts{namespace: ending, observed: ciliumFixture(tenant, ciliumOpen), wanted: right}, actionNone},
	} {
		if got := decideCilium(test.facts); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// A failed write is an event with the cause, and is repeated.
func TestReconcileCiliumFails(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	refused := errors.New("refused")
	server := newAPI(t, tenant, namespaceFixture("web", "client-a"))
	server.failApply = refused
	events, err := reconcileCilium(t, server, withDNSCache())
	if !errors.Is(err, refused) {
		t.Errorf("error %v", err)
	}
	checkEvents(t, events, []string{"web Warning/PolicyFailed ApplyPolicy: applying CiliumNetworkPolicy web/egress-scw: refused"})

	server = newAPI(t, tenant.DeepCopy(), namespaceFixture("web", ""), ciliumFixture(tenant))
	server.failDelete = refused
	events, err = reconcileCilium(t, server, withDNSCache())
	if !errors.Is(err, refused) {
		t.Errorf("error %v", err)
	}
	checkEvents(t, events, []string{"web Warning/PolicyFailed RemovePolicy: deleting CiliumNetworkPolicy web/egress-scw: refused"})
}

// A tenant with access to the API server is not ready while a namespace lacks the
// CiliumNetworkPolicy, and ready with it: it is not another client's policy.
func TestTenantNeedsCiliumPolicy(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	tenant.Spec.ClusterAccess = []v1alpha1.ClusterAccess{{APIServer: true}}
	endpoints := endpointsFixture("default", "kubernetes", 6443, "10.9.8.7")
	ours := netpol.BuildCilium(tenant, "web", settingsFixture(), netip.MustParseAddrPort("10.9.8.7:6443"))
	policy := netpol.Build(tenant, "web", settingsFixture(), netip.MustParseAddrPort("10.9.8.7:6443"))
	for want, objects := range map[string][]client.Object{
		"False PolicyNotApplied": {},
		"True Ready":             {ours},
	} {
		objects = append(objects, tenant, endpoints, namespaceFixture("web", "client-a"), policy)
		_, status := reconcileTenant(t, newAPI(t, copies(objects)...), settings.EgressAddresses{})
		if ready := conditionOf(t, status, names.ConditionReady); summary(ready) != want {
			t.Errorf("Ready is %s: %s; want %s", summary(ready), ready.Message, want)
		}
	}
}

// The cache keeps the webhook's policy whole, because it is compared.
func TestOwnCiliumPolicyIsKept(t *testing.T) {
	t.Parallel()
	ours := ciliumFixture(tenantFixture("client-a", 3129))
	got, err := keepWhatIsRead(ours.DeepCopy())
	if diff := cmp.Diff(ours, got); diff != "" || err != nil {
		t.Errorf("error %v, -want +got:\n%s", err, diff)
	}
	if cache := ClientOptions().Cache; cache == nil || !cache.Unstructured {
		t.Error("each read of a CiliumNetworkPolicy is a request to the API server")
	}
}
