package controller

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/settings"
)

// reconcileTenant runs the reconciler once for client-a, and returns its events
// and the status after it.
func reconcileTenant(t *testing.T, server *api, egress settings.EgressAddresses) ([]string, v1alpha1.EgressTenantStatus) {
	t.Helper()
	seen := &recorder{}
	r := &TenantReconciler{
		Client:         server,
		Policies:       NewPolicyApplier(server, settingsFixture()),
		PluginPolicies: pluginPolicies[:1],
		Protected:      protectedFixture(),
		Unsupported:    func(*v1alpha1.EgressTenant) *inject.Refusal { return nil },
		DirectURL: func(tenant *v1alpha1.EgressTenant) string {
			return fmt.Sprintf("http://172.16.28.8:%d", tenant.Spec.ProxyPort())
		},
		NoProxy: func(*v1alpha1.EgressTenant) string { return "localhost,.svc" },
		Egress:  egress,
		Events:  seen,
	}
	if _, err := r.Reconcile(t.Context(), requestFor("client-a")); err != nil {
		t.Fatal(err)
	}
	tenant := &v1alpha1.EgressTenant{}
	if err := server.Get(t.Context(), client.ObjectKey{Name: "client-a"}, tenant); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return seen.events, tenant.Status
}

func TestReconcileTenant(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	deleting := namespaceFixture("deleting", "client-a")
	deleting.DeletionTimestamp, deleting.Finalizers = new(metav1.Now()), []string{"kubernetes"}
	for name, test := range map[string]struct {
		objects        []client.Object
		ready, applied string
		namespaces     []string
		events         []string
	}{
		"in sync": {
			[]client.Object{
				tenant, namespaceFixture("web", "client-a"), namespaceFixture("api", "client-a"), namespaceFixture("other", "client-b"),
				policyFixture("web", tenant), policyFixture("api", tenant),
			},
			"True Ready", "True PolicyApplied",
			[]string{"api", "web"},
			nil,
		},
		"one policy missing, one edited": {
			[]client.Object{
				tenant, namespaceFixture("api", "client-a"), namespaceFixture("web", "client-a"), namespaceFixture("zoo", "client-a"),
				policyFixture("api", tenant), policyFixture("zoo", tenant, openToEverything),
			},
			"False PolicyNotApplied", "False PolicyNotApplied",
			[]string{"api", "web", "zoo"},
			nil,
		},
		"a namespace is being deleted": {
			[]client.Object{tenant, deleting},
			"True Ready", "True PolicyApplied",
			[]string{"deleting"},
			nil,
		},
		"protected namespaces are labelled, too": {
			[]client.Object{
				tenant, namespaceFixture("web", "client-a"), namespaceFixture("pki", "client-a"), namespaceFixture("kube-system", "client-a"),
				policyFixture("web", tenant),
			},
			"False ProtectedNamespace", "True PolicyApplied",
			[]string{"web"},
			nil, // the namespaces have events of their own
		},
		"the port is taken": {
			[]client.Object{tenant, tenantFixture("client-c", 3129), tenantFixture("client-b", 3129), tenantFixture("client-d", 3130)},
			"False PortConflict", "True PolicyApplied",
			nil,
			[]string{"client-a Warning/PortConflict PublishStatus: Port 3129 is also the port of client-b, client-c"},
		},
		"the spec is invalid": {
			[]client.Object{tenantFixture("client-a", 80)},
			"False InvalidSpec", "True PolicyApplied",
			nil,
			[]string{"client-a Warning/InvalidSpec PublishStatus: spec.proxy.port: Invalid value: 80"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, copies(test.objects)...)
			events, status := reconcileTenant(t, server, settings.EgressAddresses{})
			if got := summary(conditionOf(t, status, names.ConditionReady)); got != test.ready {
				t.Errorf("Ready is %s, want %s", got, test.ready)
			}
			if got := summary(conditionOf(t, status, names.ConditionPolicyApplied)); got != test.applied {
				t.Errorf("PolicyApplied is %s, want %s", got, test.applied)
			}
			if diff := cmp.Diff(test.namespaces, status.Namespaces); diff != "" {
				t.Errorf("namespaces (-want +got):\n%s", diff)
			}
			checkEvents(t, events, test.events)

			// The second reconcile writes no status and no event.
			events, _ = reconcileTenant(t, server, settings.EgressAddresses{})
			if server.statusWrites != 1 || len(events) > 0 {
				t.Errorf("%d status writes and events %q after the second time, want 1 and none", server.statusWrites, events)
			}
			if server.applied+server.deleted > 0 {
				t.Error("the tenant controller wrote policies")
			}
		})
	}
}

// TestReconcileTenantReportsOptOuts: the status lists the namespaces without injection.
func TestReconcileTenantReportsOptOuts(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	namespaces := map[string]string{"web": "false", "api": "false", "misspelt": "no", "on": "true", "default-on": ""}
	objects := []client.Object{tenant}
	for name, value := range namespaces {
		namespace := namespaceFixture(name, "client-a")
		if value != "" {
			namespace.Labels[names.LabelInject] = value
		}
		objects = append(objects, namespace, policyFixture(name, tenant))
	}
	_, status := reconcileTenant(t, newAPI(t, objects...), settings.EgressAddresses{})
	if diff := cmp.Diff([]string{"api", "web"}, status.OptedOutNamespaces); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
	if got := summary(conditionOf(t, status, names.ConditionReady)); got != "True Ready" {
		t.Errorf("Ready is %s", got)
	}
}

// TestReconcileTenantFollows: the status follows changes of namespaces, policies
// and other tenants.
func TestReconcileTenantFollows(t *testing.T) {
	t.Parallel()
	tenant, rival := tenantFixture("client-a", 3129), tenantFixture("client-b", 3129)
	server := newAPI(t, tenant, rival, namespaceFixture("web", "client-a"))
	steps := []struct {
		change func() error
		ready  string
	}{
		{func() error { return nil }, "False PortConflict"},
		{func() error { return server.Delete(t.Context(), rival) }, "False PolicyNotApplied"},
		{func() error { return server.Create(t.Context(), policyFixture("web", tenant)) }, "True Ready"},
		{func() error { return server.Delete(t.Context(), policyFixture("web", tenant)) }, "False PolicyNotApplied"},
		{func() error { return server.Delete(t.Context(), namespaceFixture("web", "")) }, "True Ready"},
		{func() error { return server.Create(t.Context(), namespaceFixture("kube-system", "client-a")) }, "False ProtectedNamespace"},
		{func() error { return server.Update(t.Context(), namespaceFixture("kube-system", "")) }, "True Ready"},
	}
	for i, step := range steps {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		_, status := reconcileTenant(t, server, settings.EgressAddresses{})
		if got := summary(conditionOf(t, status, names.ConditionReady)); got != step.ready {
			t.Errorf("step %d: Ready is %s, want %s", i, got, step.ready)
		}
	}
}

// TestEndOfAnErrorIsAnEvent: Kubernetes goes on listing the event about an error, so that
// its end is an event, too. A policy that is missing for a moment is no error.
func TestEndOfAnErrorIsAnEvent(t *testing.T) {
	t.Parallel()
	tenant, rival := tenantFixture("client-a", 3129), tenantFixture("client-b", 3129)
	server := newAPI(t, tenant, rival, namespaceFixture("web", "client-a"))
	policy := policyFixture("web", tenant)
	for i, step := range []struct {
		change func() error
		events []string
	}{
		{func() error { return nil }, []string{"client-a Warning/PortConflict PublishStatus: Port 3129 is also"}},
		{func() error { return server.Delete(t.Context(), rival) }, []string{"client-a Normal/PolicyNotApplied PublishStatus: PortConflict is over. NetworkPolicy egress-scw is missing"}},
		{func() error { return server.Create(t.Context(), policy) }, nil},
		{func() error { return server.Create(t.Context(), tenantFixture("client-b", 3129)) }, []string{"client-a Warning/PortConflict"}},
		{func() error { return server.Delete(t.Context(), rival) }, []string{"client-a Normal/Ready PublishStatus: PortConflict is over. The proxy at"}},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		events, _ := reconcileTenant(t, server, settings.EgressAddresses{})
		t.Logf("step %d: %q", i, events)
		checkEvents(t, events, step.events)
	}
}

// TestReconcileTenantPublishesAddresses: the status follows the published
// addresses, and the tenant's egressIP.
func TestReconcileTenantPublishesAddresses(t *testing.T) {
	t.Parallel()
	server := newAPI(t, tenantFixture("client-a", 3129))
	setEgressIP := func(ip v1alpha1.EgressIP) {
		tenant := &v1alpha1.EgressTenant{}
		if err := server.Get(t.Context(), client.ObjectKey{Name: "client-a"}, tenant); err != nil {
			t.Fatal(err)
		}
		tenant.Spec.Proxy.EgressIP = ip
		if err := server.Update(t.Context(), tenant); err != nil {
			t.Fatal(err)
		}
	}
	for i, step := range []struct {
		egressIP  v1alpha1.EgressIP
		published settings.EgressAddresses
		want      []string
	}{
		{v1alpha1.EgressIPShared, settings.EgressAddresses{}, nil},
		{"", egressAddresses("client-a", "203.0.113.50"), []string{"203.0.113.50"}},
		{v1alpha1.EgressIPDedicated, egressAddresses("client-a", "203.0.113.50"), []string{"203.0.113.51"}},
		{v1alpha1.EgressIPDedicated, egressAddresses("client-b", "203.0.113.50"), nil},
		{v1alpha1.EgressIPShared, egressAddresses("client-a", "203.0.113.50", "203.0.113.49"), []string{"203.0.113.50", "203.0.113.49"}},
	} {
		setEgressIP(step.egressIP)
		_, status := reconcileTenant(t, server, step.published)
		if diff := cmp.Diff(step.want, status.SourceAddresses); diff != "" {
			t.Errorf("step %d: sourceAddresses (-want +got):\n%s", i, diff)
		}
	}
}

// egressAddresses are shared addresses, and 203.0.113.51 for one tenant.
func egressAddresses(tenant string, shared ...string) settings.EgressAddresses {
	addresses := settings.EgressAddresses{Dedicated: map[string][]netip.Addr{tenant: {netip.MustParseAddr("203.0.113.51")}}}
	for _, address := range shared {
		addresses.Shared = append(addresses.Shared, netip.MustParseAddr(address))
	}
	return addresses
}

func TestReconcileDeletedTenant(t *testing.T) {
	t.Parallel()
	server := newAPI(t)
	if events, _ := reconcileTenant(t, server, settings.EgressAddresses{}); len(events) > 0 || server.statusWrites > 0 {
		t.Errorf("events %q and %d writes about a tenant that does not exist", events, server.statusWrites)
	}
}

func TestTenantMappings(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	server := newAPI(t, tenant, tenantFixture("client-c", 3129), tenantFixture("client-b", 3130),
		namespaceFixture("web", "client-a"), namespaceFixture("default", ""))
	r := &TenantReconciler{Client: server}

	checkRequests(t, namespaceToTenant(t.Context(), namespaceFixture("web", "client-a")), "client-a")
	checkRequests(t, namespaceToTenant(t.Context(), namespaceFixture("web", "")))
	checkRequests(t, r.policyToTenant(t.Context(), policyFixture("web", tenant, withoutTenantLabel)), "client-a")
	checkRequests(t, r.policyToTenant(t.Context(), policyFixture("default", tenant)))
	checkRequests(t, r.policyToTenant(t.Context(), policyFixture("gone", tenant)))
	checkRequests(t, r.tenantToTenantsOnPort(t.Context(), tenant), "client-a", "client-c")
	checkRequests(t, r.tenantToTenantsOnPort(t.Context(), namespaceFixture("web", "client-a")))
}
