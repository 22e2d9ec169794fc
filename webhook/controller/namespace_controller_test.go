package controller

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/netpol"
)

func requestFor(name string) ctrl.Request {
	return ctrl.Request{NamespacedName: types.NamespacedName{Name: name}}
}

// reconcileNamespace runs the reconciler once over caches that may lag behind
// the API server.
func reconcileNamespace(t *testing.T, cache client.Reader, server *api, name string) ([]string, error) {
	t.Helper()
	seen := &recorder{}
	r := &NamespaceReconciler{Cache: cache, Live: server, Policies: NewPolicyApplier(server, settingsFixture()), Protected: protectedFixture(), Events: seen, Writer: server}
	result, err := r.Reconcile(t.Context(), requestFor(name))
	if result != (ctrl.Result{}) {
		t.Errorf("the result is %+v: every relevant change triggers an event of its own", result)
	}
	return seen.events, err
}

func TestReconcileNamespace(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	right := netpol.Build(tenant, "web", settingsFixture())
	edited := policyFixture("web", tenant, openToEverything)
	foreign := policyFixture("web", tenant, withoutTenantLabel)
	for name, test := range map[string]struct {
		objects []client.Object
		want    *networkingv1.NetworkPolicy // nil for none
		events  []string                    // the beginning of each
	}{
		"labelled": {
			[]client.Object{tenant, namespaceFixture("web", "client-a")},
			right,
			[]string{"web Normal/PolicyApplied ApplyPolicy: NetworkPolicy egress-scw created"},
		},
		"edited": {
			[]client.Object{tenant, namespaceFixture("web", "client-a"), edited},
			right,
			[]string{"web Normal/PolicyApplied ApplyPolicy: NetworkPolicy egress-scw updated for"},
		},
		"in sync":        {[]client.Object{tenant, namespaceFixture("web", "client-a"), right}, right, nil},
		"unlabelled":     {[]client.Object{tenant, namespaceFixture("web", ""), right}, nil, []string{"web Normal/PolicyRemoved RemovePolicy: "}},
		"foreign policy": {[]client.Object{tenant, namespaceFixture("web", ""), foreign}, foreign, nil},
		"unknown tenant": {
			[]client.Object{namespaceFixture("web", "client-a")},
			netpol.BuildClosed("client-a", "web"),
			[]string{"web Warning/UnknownTenant CloseNamespace: there is no EgressTenant for the label egress.scw/tenant=client-a"},
		},
		"empty label": {
			[]client.Object{tenant, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: map[string]string{names.LabelTenant: ""}}}},
			netpol.BuildClosed("", "web"),
			[]string{"web Warning/UnknownTenant CloseNamespace: "},
		},
		"tenant appears": {
			[]client.Object{tenant, namespaceFixture("web", "client-a"), netpol.BuildClosed("client-a", "web")},
			right,
			[]string{"web Normal/PolicyApplied ApplyPolicy: "},
		},
		"namespace gone": {[]client.Object{tenant}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, copies(test.objects)...)
			events, err := reconcileNamespace(t, server, server, "web")
			if err != nil {
				t.Fatal(err)
			}
			checkPolicy(t, server.policyIn(t, "web"), test.want)
			checkEvents(t, events, test.events)

			// The second reconcile writes no object.
			writes := server.applied + server.deleted
			if _, err := reconcileNamespace(t, server, server, "web"); err != nil {
				t.Fatal(err)
			}
			if again := server.applied + server.deleted; again != writes {
				t.Errorf("%d writes the second time", again-writes)
			}
		})
	}
}

// TestReconcileProtectedNamespace: whatever its label is, the namespace gets no
// policy, an existing policy of the webhook is removed, and an event has the
// reason.
func TestReconcileProtectedNamespace(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	const warning = "kube-system Warning/ProtectedNamespace RefuseNamespace: label egress.scw/tenant=client-a has no effect"
	const removal = "kube-system Normal/PolicyRemoved RemovePolicy: "
	foreign := policyFixture("kube-system", tenant, withoutTenantLabel)
	for name, test := range map[string]struct {
		objects []client.Object
		want    *networkingv1.NetworkPolicy // nil for none
		events  [2][]string                 // of the first time and the second
	}{
		"labelled": {
			[]client.Object{tenant, namespaceFixture("kube-system", "client-a")},
			nil,
			[2][]string{{warning}, {warning}},
		},
		"labelled, with our policy": {
			[]client.Object{tenant, namespaceFixture("kube-system", "client-a"), policyFixture("kube-system", tenant)},
			nil,
			[2][]string{{removal}, {warning}},
		},
		"labelled, with our policy, edited": {
			[]client.Object{tenant, namespaceFixture("kube-system", "client-a"), policyFixture("kube-system", tenant, openToEverything)},
			nil,
			[2][]string{{removal}, {warning}},
		},
		"labelled, with another client's policy": {
			[]client.Object{tenant, namespaceFixture("kube-system", "client-a"), foreign},
			foreign,
			[2][]string{{warning}, {warning}},
		},
		"labelled with an unknown tenant": {
			[]client.Object{namespaceFixture("kube-system", "client-a")},
			nil,
			[2][]string{{warning}, {warning}},
		},
		"unlabelled": {
			[]client.Object{tenant, namespaceFixture("kube-system", ""), policyFixture("kube-system", tenant)},
			nil,
			[2][]string{{removal}, nil},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, copies(test.objects)...)
			for _, want := range test.events {
				events, err := reconcileNamespace(t, server, server, "kube-system")
				if err != nil {
					t.Fatal(err)
				}
				checkPolicy(t, server.policyIn(t, "kube-system"), test.want)
				checkEvents(t, events, want)
			}
			if server.applied > 0 {
				t.Errorf("%d policies applied", server.applied)
			}
		})
	}
}

func checkPolicy(t *testing.T, got, want *networkingv1.NetworkPolicy) {
	t.Helper()
	if got == nil || want == nil {
		if got != want {
			t.Errorf("the policy is %+v, want %+v", got, want)
		}
		return
	}
	if diff := cmp.Diff(want.Spec, got.Spec); diff != "" {
		t.Errorf("the policy's spec (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want.Labels, got.Labels); diff != "" {
		t.Errorf("the policy's labels (-want +got):\n%s", diff)
	}
}

func checkEvents(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("events are %q, want %q", got, want)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("event %d is %q, want %q…", i, got[i], want[i])
		}
	}
}

// TestReconcileNamespaceWithStaleCache: caches advance independently, so that
// an old namespace or tenant may be read beside a new policy.
func TestReconcileNamespaceWithStaleCache(t *testing.T) {
	t.Parallel()
	tenant, other := tenantFixture("client-a", 3129), tenantFixture("client-b", 3130)
	for name, test := range map[string]struct {
		cached, live []client.Object
		want         *networkingv1.NetworkPolicy
	}{
		"the label is newer than the cache": {
			[]client.Object{tenant, namespaceFixture("web", ""), policyFixture("web", tenant)},
			[]client.Object{tenant, namespaceFixture("web", "client-a"), policyFixture("web", tenant)},
			policyFixture("web", tenant),
		},
		"the label's value is newer than the cache": {
			[]client.Object{tenant, other, namespaceFixture("web", "client-a"), policyFixture("web", other)},
			[]client.Object{tenant, other, namespaceFixture("web", "client-b"), policyFixture("web", other)},
			policyFixture("web", other),
		},
		"the tenant is newer than the cache": {
			[]client.Object{namespaceFixture("web", "client-a")},
			[]client.Object{tenant, namespaceFixture("web", "client-a")},
			policyFixture("web", tenant),
		},
		"the tenant's port is newer than the cache": {
			[]client.Object{tenant, namespaceFixture("web", "client-a"), policyFixture("web", tenantFixture("client-a", 3200))},
			[]client.Object{tenantFixture("client-a", 3200), namespaceFixture("web", "client-a"), policyFixture("web", tenantFixture("client-a", 3200))},
			policyFixture("web", tenantFixture("client-a", 3200)),
		},
		"the namespace is gone": {
			[]client.Object{tenant, namespaceFixture("web", "client-a")},
			[]client.Object{tenant},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cache, server := newAPI(t, copies(test.cached)...), newAPI(t, copies(test.live)...)
			if name == "the namespace is gone" {
				server.failApply = apierrors.NewNotFound(corev1.Resource("namespaces"), "web") // the fake client does not look
			}
			events, err := reconcileNamespace(t, cache, server, "web")
			if err != nil {
				t.Fatal(err)
			}
			checkPolicy(t, server.policyIn(t, "web"), test.want)
			for _, event := range events {
				if strings.Contains(event, "Warning") {
					t.Errorf("a false alarm: %s", event)
				}
			}
		})
	}
}

func copies(objects []client.Object) []client.Object {
	var result []client.Object
	for _, object := range objects {
		result = append(result, object.DeepCopyObject().(client.Object))
	}
	return result
}

func TestReconcileNamespaceFails(t *testing.T) {
	t.Parallel()
	cause := errors.New("the disk is full")
	tenant := tenantFixture("client-a", 3129)
	for name, test := range map[string]struct {
		objects []client.Object
		fail    func(*api)
		events  []string
	}{
		"apply": {
			[]client.Object{tenant, namespaceFixture("web", "client-a")},
			func(a *api) { a.failApply = cause },
			[]string{"web Warning/PolicyFailed ApplyPolicy: applying NetworkPolicy web/egress-scw of tenant client-a: the disk is full"},
		},
		"delete": {
			[]client.Object{namespaceFixture("web", ""), policyFixture("web", tenant)},
			func(a *api) { a.failDelete = cause },
			[]string{"web Warning/PolicyFailed RemovePolicy: deleting NetworkPolicy web/egress-scw: the disk is full"},
		},
		"read": {
			[]client.Object{tenant, namespaceFixture("web", "client-a")}, func(a *api) { a.failGet = cause }, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, copies(test.objects)...)
			test.fail(server)
			events, err := reconcileNamespace(t, server, server, "web")
			if !errors.Is(err, cause) {
				t.Errorf("error is %v, want %v so that it is retried", err, cause)
			}
			checkEvents(t, events, test.events)
		})
	}
}

// TestRemoveChangedPolicy: between the read and the deletion, another replica
// may have written a policy for a pod that it admitted.
func TestRemoveChangedPolicy(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	server := newAPI(t, policyFixture("web", tenant, openToEverything))
	policies := NewPolicyApplier(server, settingsFixture())
	observed := server.policyIn(t, "web")
	if err := policies.Ensure(t.Context(), "web", tenant, false); err != nil {
		t.Fatal(err)
	}
	if err := policies.remove(t.Context(), observed); err == nil {
		t.Error("the newer policy was deleted")
	}
	checkPolicy(t, server.policyIn(t, "web"), policyFixture("web", tenant))

	if err := policies.remove(t.Context(), server.policyIn(t, "web")); err != nil {
		t.Fatal(err)
	}
	if err := policies.remove(t.Context(), observed); err != nil {
		t.Errorf("deleting a deleted policy: %v", err)
	}
}

func TestNamespaceMappings(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	server := newAPI(t, tenant, namespaceFixture("api", "client-a"), namespaceFixture("web", "client-a"),
		namespaceFixture("other", "client-b"), namespaceFixture("default", ""))
	requests := namespaceRequests{server}

	checkRequests(t, policyToNamespace(t.Context(), policyFixture("web", tenant)), "web")
	checkRequests(t, requests.ofTenant(t.Context(), tenant), "api", "web")
	checkRequests(t, requests.ofTenant(t.Context(), tenantFixture("client-c", 3130)))
}

func checkRequests(t *testing.T, got []reconcile.Request, want ...string) {
	t.Helper()
	var requested []string
	for _, request := range got {
		requested = append(requested, request.Name)
	}
	if diff := cmp.Diff(want, requested); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// TestPolicyWrittenBeforeItsRemovalStays: a policy that another client writes
// between the decision to remove it and its removal belongs to a newer decision.
// It stays, and there is no event.
func TestPolicyWrittenBeforeItsRemovalStays(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	right := netpol.Build(tenant, "web", settingsFixture())
	server := newAPI(t, namespaceFixture("web", ""), right.DeepCopy())
	server.beforeDelete = func() {
		policy := server.policyIn(t, "web")
		policy.Annotations = map[string]string{"written": "again"}
		if err := server.Update(t.Context(), policy); err != nil {
			t.Error(err)
		}
	}
	events, err := reconcileNamespace(t, server, server, "web")
	if !apierrors.IsConflict(err) {
		t.Errorf("error %v, want a conflict, so that the namespace is reconciled again", err)
	}
	checkPolicy(t, server.policyIn(t, "web"), right)
	checkEvents(t, events, nil)
}

func TestRecreatedTenantIsReconciled(t *testing.T) {
	old := tenantFixture("client-a", 3129)
	old.UID, old.Generation = "old", 1
	edited, reported, recreated := old.DeepCopy(), old.DeepCopy(), old.DeepCopy()
	edited.Generation = 2
	reported.Status.ProxyURL = "http://172.16.28.8:3129"
	recreated.UID = "new"
	for name, test := range map[string]struct {
		now  client.Object
		want bool
	}{
		"spec edited":    {edited, true},
		"status written": {reported, false},
		"deleted and recreated in a gap of the watch": {recreated, true},
	} {
		if got := specMayDiffer(event.UpdateEvent{ObjectOld: old, ObjectNew: test.now}); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}
