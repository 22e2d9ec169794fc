package controller

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// lagging is a reconciler whose cache of policies can lag behind the API server. It
// counts the objects that are read from the API server.
type lagging struct {
	*NamespaceReconciler
	server *api
	reads  int
	// policies is the content of the cache of policies, if it lags.
	lags     bool
	policies map[string]*networkingv1.NetworkPolicy
	// namespace is the namespace in the cache, nil if that does not lag.
	namespace *corev1.Namespace
}

func newLagging(server *api) *lagging {
	l := &lagging{server: server}
	l.NamespaceReconciler = &NamespaceReconciler{
		Cache: cacheOf{server, l}, Live: liveOf{server, l},
		Policies: NewPolicyApplier(server, settingsFixture()), Events: &recorder{}, Writer: server,
	}
	return l
}

// stop stops the cache of policies: it keeps the policy of the namespace.
func (l *lagging) stop(t *testing.T) {
	t.Helper()
	l.lags, l.policies = true, map[string]*networkingv1.NetworkPolicy{"web": l.server.policyIn(t, "web")}
}

func (l *lagging) reconcile(t *testing.T) {
	t.Helper()
	if _, err := l.Reconcile(t.Context(), requestFor("web")); err != nil {
		t.Fatal(err)
	}
}

// want checks the number of objects that were read from the API server.
func (l *lagging) want(t *testing.T, when string, reads int) {
	t.Helper()
	if l.reads != reads {
		t.Errorf("%s, %d objects were read from the API server, want %d", when, l.reads, reads)
	}
	l.reads = 0
}

type cacheOf struct {
	client.Reader
	*lagging
}

func (c cacheOf) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if namespace, isNamespace := object.(*corev1.Namespace); isNamespace && c.namespace != nil {
		c.namespace.DeepCopyInto(namespace)
		return nil
	}
	policy, isPolicy := object.(*networkingv1.NetworkPolicy)
	if !c.lags || !isPolicy {
		return c.Reader.Get(ctx, key, object, options...)
	}
	if c.policies[key.Namespace] == nil {
		return apierrors.NewNotFound(networkingv1.Resource("networkpolicies"), key.Name)
	}
	c.policies[key.Namespace].DeepCopyInto(policy)
	return nil
}

type liveOf struct {
	client.Reader
	*lagging
}

func (r liveOf) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	r.reads++
	return r.Reader.Get(ctx, key, object, options...)
}

func labelAs(t *testing.T, server *api, tenant string) {
	t.Helper()
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"`+names.LabelTenant+`":"`+tenant+`"}}}`))
	if err := server.Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "web"}}, patch); err != nil {
		t.Fatal(err)
	}
}

func setTenantPort(t *testing.T, server *api, port int32) {
	t.Helper()
	tenant := &v1alpha1.EgressTenant{}
	if err := server.Get(t.Context(), client.ObjectKey{Name: "client-a"}, tenant); err != nil {
		t.Fatal(err)
	}
	tenant.Spec.Proxy.Port = port
	if err := server.Update(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
}

// TestUsualChangesCostOneWrite: a label, another label and another port cost one
// write each, and no reading. A thousand namespaces may change at once.
func TestUsualChangesCostOneWrite(t *testing.T) {
	t.Parallel()
	server := newAPI(t, tenantFixture("client-a", 3129), tenantFixture("client-b", 3130), namespaceFixture("web", "client-a"))
	l := newLagging(server)
	for i, step := range []struct {
		name   string
		change func()
		tenant *v1alpha1.EgressTenant
	}{
		{"labelled", func() {}, tenantFixture("client-a", 3129)},
		{"given another port", func() { setTenantPort(t, server, 3200) }, tenantFixture("client-a", 3200)},
		{"given one more port", func() { setTenantPort(t, server, 3201) }, tenantFixture("client-a", 3201)},
		{"labelled again", func() { labelAs(t, server, "client-b") }, tenantFixture("client-b", 3130)},
		{"deleted", func() { deletePolicy(t, server) }, tenantFixture("client-b", 3130)},
	} {
		step.change()
		events := server.applied
		l.reconcile(t)
		checkPolicy(t, server.policyIn(t, "web"), policyFixture("web", step.tenant))
		l.want(t, step.name, 0)
		if writes := server.applied - events; writes != 1 && step.name != "deleted" { // two events report the repair
			t.Errorf("%s: %d writes", step.name, writes)
		}
		if i > 0 && step.name != "deleted" && !strings.Contains(string(server.lastApplied), `"resourceVersion":"`) {
			t.Errorf("%s: the write has no condition: it would replace a newer policy: %s", step.name, server.lastApplied)
		}
		if step.name != "given another port" { // changes follow each other within milliseconds
			l.reconcile(t) // the policy's own event
			l.want(t, step.name+", after the event", 0)
		}
	}
}

// TestPolicyThatTheCachesLack: a policy that was written, but is not in the caches,
// is not taken for one that another client deleted.
func TestPolicyThatTheCachesLack(t *testing.T) {
	t.Parallel()
	server := newAPI(t, tenantFixture("client-a", 3129), namespaceFixture("web", "client-a"))
	l := newLagging(server)
	l.stop(t)
	l.reconcile(t)
	l.reconcile(t)
	l.want(t, "with a policy that is not in the caches", 3)
	if events := repairEvents(t, server); len(events) > 0 || server.applied != 1 {
		t.Errorf("%d writes, events %+v: the policy is in sync", server.applied, events)
	}
	setTenantPort(t, server, 3200)
	l.reconcile(t)
	checkPolicy(t, server.policyIn(t, "web"), policyFixture("web", tenantFixture("client-a", 3200)))

	// Without a newer version in the caches, the condition of a write would fail.
	l.lags = false
	l.reconcile(t)
	l.stop(t)
	setTenantPort(t, server, 3201)
	l.reconcile(t)
	setTenantPort(t, server, 3202)
	l.reads = 0
	l.reconcile(t)
	l.want(t, "with an older policy in the caches", 3)
	checkPolicy(t, server.policyIn(t, "web"), policyFixture("web", tenantFixture("client-a", 3202)))
}

// TestPolicyOfANewerLabel: the cache has a policy, but not yet the label for which it
// was written. It is not replaced by the policy of the earlier label.
func TestPolicyOfANewerLabel(t *testing.T) {
	t.Parallel()
	first, second := tenantFixture("client-a", 3129), tenantFixture("client-b", 3130)
	server := newAPI(t, first, second, namespaceFixture("web", "client-b"), policyFixture("web", first, openToEverything))
	l := newLagging(server)
	l.namespace = namespaceFixture("web", "client-a")
	for range 2 {
		l.reconcile(t)
		checkPolicy(t, server.policyIn(t, "web"), policyFixture("web", second))
	}
}

// TestPolicyOfAnotherReplica: the leader's caches have the first label of a
// namespace, while another replica has written the policy for its second. The
// creation shows it.
func TestPolicyOfAnotherReplica(t *testing.T) {
	t.Parallel()
	tenants := []client.Object{tenantFixture("client-a", 3129), tenantFixture("client-b", 3130)}
	cache := newAPI(t, append(copies(tenants), namespaceFixture("web", "client-a"))...)
	server := newAPI(t, append(copies(tenants), namespaceFixture("web", "client-b"), policyFixture("web", tenantFixture("client-b", 3130)))...)
	r := &NamespaceReconciler{Cache: cache, Live: server, Policies: NewPolicyApplier(server, settingsFixture()), Events: &recorder{}, Writer: server}
	if _, err := r.Reconcile(t.Context(), requestFor("web")); err != nil {
		t.Fatal(err)
	}
	checkPolicy(t, server.policyIn(t, "web"), policyFixture("web", tenantFixture("client-b", 3130)))
	if events := repairEvents(t, server); len(events) > 0 {
		t.Errorf("false alarms: %+v", events)
	}
}

// TestNamespaceEndsMeanwhile: no policy can be created in a namespace that is gone,
// or being deleted, and that is not an error.
func TestNamespaceEndsMeanwhile(t *testing.T) {
	t.Parallel()
	terminating := apierrors.NewForbidden(networkingv1.Resource("networkpolicies"), names.PolicyName, nil)
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	for name, cause := range map[string]error{
		"gone": apierrors.NewNotFound(corev1.Resource("namespaces"), "web"), "being deleted": terminating,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, tenantFixture("client-a", 3129), namespaceFixture("web", "client-a"))
			server.failApply = cause
			events, err := reconcileNamespace(t, server, server, "web")
			if err != nil || len(events) > 0 {
				t.Errorf("error %v, events %q", err, events)
			}
		})
	}
}
