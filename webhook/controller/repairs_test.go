package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"egress.scw/webhook/api/names"
)

// TestRepairsAreReported: however often another client deletes or edits the
// policy, an event on the namespace and one on the policy have the number of the
// repairs, and are written at most once a second.
func TestRepairsAreReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tenant := tenantFixture("client-a", 3129)
		server := newAPI(t, tenant, namespaceFixture("web", "client-a"))
		seen := &recorder{}
		r := &NamespaceReconciler{Cache: server, Live: server, Policies: NewPolicyApplier(server, settingsFixture()), Protected: protectedFixture(), Events: seen, Writer: server}
		reconcile := func() time.Duration {
			result, err := r.Reconcile(t.Context(), requestFor("web"))
			if err != nil {
				t.Fatal(err)
			}
			return result.RequeueAfter
		}
		reconcile()
		if got := repairEvents(t, server); len(got) > 0 {
			t.Fatalf("the first policy is reported as a repair: %+v", got)
		}
		damage := []func(){
			func() { deletePolicy(t, server) },
			func() { editPolicy(t, server, openToEverything) },
			func() { deletePolicy(t, server) },
		}
		for i, do := range damage {
			do()
			if wait := reconcile(); (wait > 0) != (i > 0) || wait > repairsInterval {
				t.Errorf("repair %d: the next report is due after %s", i+1, wait)
			}
			checkPolicy(t, server.policyIn(t, "web"), policyFixture("web", tenant))
		}
		checkReports(t, server, "was deleted, and restored: repair 1 since 2000-01-01T00:00:00Z", 1)
		time.Sleep(repairsInterval)
		if wait := reconcile(); wait > 0 {
			t.Errorf("after the last report, another is due after %s", wait)
		}
		checkReports(t, server, "was deleted, and restored: repair 3 since 2000-01-01T00:00:00Z", 3)
		if len(seen.events) != 1 {
			t.Errorf("events are %q, want one about the first policy", seen.events)
		}

		// After an hour without repairs, they are counted from one.
		time.Sleep(repairsForgotten + time.Second)
		editPolicy(t, server, forSomePods)
		reconcile()
		checkReports(t, server, "was edited by the field manager test, and restored: repair 1 since 2000-01-01T01:00:02Z", 1)
	})
}

// TestReportThatIsNotWritten: a report that the API server did not take, the first of the
// two events or the second, is written by the repetition.
func TestReportThatIsNotWritten(t *testing.T) {
	t.Parallel()
	for failing := range 2 {
		t.Run(fmt.Sprint("event ", failing+1), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newAPI(t, tenantFixture("client-a", 3129), namespaceFixture("web", "client-a"))
				inner, ok := server.Client.(client.WithWatch)
				if !ok {
					t.Fatal("the fake client watches")
				}
				written := 0
				writer := interceptor.NewClient(inner, interceptor.Funcs{
					Apply: func(ctx context.Context, c client.WithWatch, config runtime.ApplyConfiguration, options ...client.ApplyOption) error {
						if written++; written == failing+1 {
							return errors.New("etcd has another leader")
						}
						return c.Apply(ctx, config, options...)
					},
				})
				r := &NamespaceReconciler{Cache: server, Live: server, Policies: NewPolicyApplier(server, settingsFixture()), Protected: protectedFixture(), Events: &recorder{}, Writer: writer}
				reconcile := func() error {
					_, err := r.Reconcile(t.Context(), requestFor("web"))
					return err
				}
				if err := reconcile(); err != nil {
					t.Fatal(err)
				}
				deletePolicy(t, server)
				if err := reconcile(); err == nil {
					t.Fatal("no error")
				}
				if err := reconcile(); err != nil {
					t.Fatal(err)
				}
				checkReports(t, server, "was deleted, and restored: repair 1 since 2000-01-01T00:00:00Z", 1)
			})
		})
	}
}

// TestNamespaceOfTheSameName: a namespace that was deleted and created again is
// another one, in which no policy was deleted.
func TestNamespaceOfTheSameName(t *testing.T) {
	t.Parallel()
	first, second := namespaceFixture("web", "client-a"), namespaceFixture("web", "client-a")
	first.UID, second.UID = "first", "second"
	var r repairs
	r.inSync(first, policyFixture("web", tenantFixture("client-a", 3129)), "", true)
	if r.lastInSync(second) != (fingerprint{}) || r.lastInSync(first) == (fingerprint{}) {
		t.Error("the policy of the former namespace is taken for that of the new one")
	}
	r.forget("web")
	if r.lastInSync(first) != (fingerprint{}) {
		t.Error("a deleted namespace is remembered")
	}
}

// TestRepairsInATerminatingNamespace: no event can be created there.
func TestRepairsInATerminatingNamespace(t *testing.T) {
	t.Parallel()
	terminating := apierrors.NewForbidden(corev1.Resource("events"), names.RepairEvent, nil)
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	server := newAPI(t)
	server.failApply = terminating
	namespace := namespaceFixture("web", "client-a")
	r := &NamespaceReconciler{Writer: server}
	r.repairs.add(namespace, "deleted", time.Now())
	if _, err := r.reportRepairs(t.Context(), namespace); err != nil {
		t.Error(err)
	}
}

func deletePolicy(t *testing.T, server *api) {
	t.Helper()
	if err := server.Delete(t.Context(), server.policyIn(t, "web")); err != nil {
		t.Fatal(err)
	}
}

func editPolicy(t *testing.T, server *api, change func(*networkingv1.NetworkPolicy)) {
	t.Helper()
	policy := server.policyIn(t, "web")
	change(policy)
	if err := server.Update(t.Context(), policy, client.FieldOwner("test")); err != nil {
		t.Fatal(err)
	}
}

// repairEvents are the events about repairs in the namespace "web".
func repairEvents(t *testing.T, server *api) []corev1.Event {
	t.Helper()
	var events []corev1.Event
	for _, key := range []client.ObjectKey{
		{Namespace: "default", Name: "web.egress-scw.repaired"}, {Namespace: "web", Name: "egress-scw.repaired"},
	} {
		var event corev1.Event
		if err := server.Get(context.Background(), key, &event); err == nil {
			events = append(events, event)
		}
	}
	return events
}

func checkReports(t *testing.T, server *api, message string, count int32) {
	t.Helper()
	events := repairEvents(t, server)
	if len(events) != 2 {
		t.Fatalf("%d events, want one on the namespace and one on the policy", len(events))
	}
	for i, about := range []string{"Namespace /web", "NetworkPolicy web/egress-scw"} {
		event := events[i]
		if got := fmt.Sprintf("%s %s/%s", event.InvolvedObject.Kind, event.InvolvedObject.Namespace, event.InvolvedObject.Name); got != about {
			t.Errorf("event %d is about %s, want %s", i, got, about)
		}
		if !strings.Contains(event.Message, message) || event.Count != count || event.Type != "Warning" || event.Reason != "PolicyRepaired" {
			t.Errorf("event %d is %s %s %d times: %q; want Warning PolicyRepaired %d times: %q", i, event.Type, event.Reason, event.Count, event.Message, count, message)
		}
	}
}
