package controller

import (
	"context"
	"errors"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"egress.scw/webhook/api/names"
)

// withOurFinalizer is the policy of a namespace whose deletion was admitted.
func withOurFinalizer(policy *networkingv1.NetworkPolicy) {
	policy.Finalizers = append(policy.Finalizers, names.FinalizerPods)
}

func TestKeep(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	for name, test := range map[string]struct {
		policy *networkingv1.NetworkPolicy // nil for none
		want   []string
	}{
		"none":           {nil, nil},
		"a policy":       {policyFixture("web", tenant), []string{names.FinalizerPods}},
		"kept already":   {policyFixture("web", tenant, withOurFinalizer), []string{names.FinalizerPods}},
		"another's too":  {policyFixture("web", tenant, withFinalizer), []string{names.FinalizerPods, "example.test/keep"}},
		"being deleted":  {policyFixture("web", tenant, beingDeleted), []string{"example.test/keep"}}, // Kubernetes admits no further finalizer
		"of two clients": {policyFixture("web", tenant, withFinalizer, withOurFinalizer), []string{names.FinalizerPods, "example.test/keep"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t)
			if test.policy != nil {
				server = newAPI(t, test.policy)
			}
			if err := NewPolicyApplier(server, settingsFixture()).Keep(t.Context(), "web"); err != nil {
				t.Fatal(err)
			}
			var got []string
			if policy := server.policyIn(t, "web"); policy != nil {
				got = policy.Finalizers
			}
			slices.Sort(got)
			if !slices.Equal(got, test.want) {
				t.Errorf("finalizers %q, want %q", got, test.want)
			}
		})
	}
}

// TestKeptPolicyIsReleased: a policy that is being deleted stays while the deleted
// namespace has pods. In a namespace that stays, it goes at once.
func TestKeptPolicyIsReleased(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	deleted := namespaceFixture("web", "client-a")
	deleted.DeletionTimestamp, deleted.Finalizers = new(metav1.Now()), []string{"kubernetes"}
	goes := policyFixture("web", tenant, beingDeleted, withOurFinalizer)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "p"}}
	elsewhere := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "p"}}
	for name, test := range map[string]struct {
		objects []client.Object
		kept    bool // the finalizer
		again   bool // the namespace is looked at again
	}{
		"namespace deleted, with a pod":     {[]client.Object{deleted, goes, pod}, true, true},
		"namespace deleted, without pods":   {[]client.Object{deleted, goes, elsewhere}, false, false},
		"namespace deleted, label unknown":  {[]client.Object{namespaceDeletedWithout(), goes, pod}, true, true},
		"namespace stays":                   {[]client.Object{namespaceFixture("web", "client-a"), goes, pod}, false, false},
		"namespace stays, without a label":  {[]client.Object{namespaceFixture("web", ""), goes, pod}, false, false},
		"deletion refused by another guard": {[]client.Object{namespaceFixture("web", "client-a"), policyFixture("web", tenant, withOurFinalizer), pod}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, append(test.objects, tenant.DeepCopy())...)
			r := &NamespaceReconciler{
				Cache: server, Live: server, Policies: NewPolicyApplier(server, settingsFixture()), Protected: protectedFixture(), Events: &recorder{}, Writer: server,
			}
			result, err := r.Reconcile(t.Context(), requestFor("web"))
			if err != nil {
				t.Fatal(err)
			}
			if again := result.RequeueAfter == podsInterval; again != test.again {
				t.Errorf("the result is %+v", result)
			}
			finalizers := server.policyIn(t, "web").Finalizers
			if kept := slices.Contains(finalizers, names.FinalizerPods); kept != test.kept {
				t.Errorf("finalizers %q", finalizers)
			}
		})
	}
}

// TestKeptPolicyIsNotReleasedByAnOldNamespace: the cache of policies is ahead of the
// cache of namespaces, which does not know yet that the namespace is being deleted.
func TestKeptPolicyIsNotReleasedByAnOldNamespace(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	deleted := namespaceFixture("web", "client-a")
	deleted.DeletionTimestamp, deleted.Finalizers = new(metav1.Now()), []string{"kubernetes"}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "p"}}
	l := newLagging(newAPI(t, tenant, deleted, policyFixture("web", tenant, beingDeleted, withOurFinalizer), pod))
	l.namespace = namespaceFixture("web", "client-a")
	result, err := l.Reconcile(t.Context(), requestFor("web"))
	if err != nil {
		t.Fatal(err)
	}
	if finalizers := l.server.policyIn(t, "web").Finalizers; !slices.Contains(finalizers, names.FinalizerPods) {
		t.Errorf("the policy is released while the namespace has a pod: finalizers %q", finalizers)
	}
	if result.RequeueAfter != podsInterval {
		t.Errorf("the result is %+v", result)
	}
}

// TestKeepFindsAPolicyThatTheCacheLacks: the namespace is deleted before the cache of the
// replica has its policy.
func TestKeepFindsAPolicyThatTheCacheLacks(t *testing.T) {
	t.Parallel()
	server := newAPI(t, policyFixture("web", tenantFixture("client-a", 3129)))
	empty := interceptor.NewClient(server.Client.(client.WithWatch), interceptor.Funcs{
		Get: func(_ context.Context, _ client.WithWatch, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
			return apierrors.NewNotFound(networkingv1.Resource("networkpolicies"), key.Name)
		},
	})
	if err := NewPolicyApplier(empty, settingsFixture()).Keep(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	if finalizers := server.policyIn(t, "web").Finalizers; !slices.Contains(finalizers, names.FinalizerPods) {
		t.Errorf("finalizers %q", finalizers)
	}
}

// namespaceDeletedWithout is a namespace that is being deleted, and lost its label.
func namespaceDeletedWithout() *corev1.Namespace {
	namespace := namespaceFixture("web", "")
	namespace.DeletionTimestamp, namespace.Finalizers = new(metav1.Now()), []string{"kubernetes"}
	return namespace
}

// TestPodsThatCannotBeListed: the policy stays while it is not known whether there
// are pods. Without the right to list them, the chart is that of an API server that
// deletes the pods first: the namespace would never end.
func TestPodsThatCannotBeListed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err  error
		kept bool
	}{
		"the API server does not answer": {errors.New("connection refused"), true},
		"the chart gives no right":       {apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("no rule")), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tenant := tenantFixture("client-a", 3129)
			deleted := namespaceFixture("web", "client-a")
			deleted.DeletionTimestamp, deleted.Finalizers = new(metav1.Now()), []string{"kubernetes"}
			server := newAPI(t, tenant, deleted, policyFixture("web", tenant, beingDeleted, withOurFinalizer))
			server.failList = test.err
			r := &NamespaceReconciler{
				Cache: server, Live: server, Policies: NewPolicyApplier(server, settingsFixture()), Protected: protectedFixture(), Events: &recorder{}, Writer: server,
			}
			if _, err := r.Reconcile(t.Context(), requestFor("web")); (err != nil) != test.kept {
				t.Errorf("the error is %v", err)
			}
			if finalizers := server.policyIn(t, "web").Finalizers; slices.Contains(finalizers, names.FinalizerPods) != test.kept {
				t.Errorf("finalizers %q", finalizers)
			}
		})
	}
}
