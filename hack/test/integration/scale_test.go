package integration

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/hack/test/load"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

const (
	// manyNamespaces is the size at which changes of all namespaces are measured.
	manyNamespaces = 1000
	// patience bounds the time from the last change to the last policy on a machine
	// with other work. Without other work, 6 s are promised where control plane and
	// webhook share two cores: the test logs an estimate, and bounds the requests,
	// which do not depend on the machine.
	patience = 2 * time.Minute
	// retried is the number of requests beyond the least that a change of all
	// namespaces may cost: writes that are repeated because another one was first,
	// and readings before a write when the caches lag.
	retried = manyNamespaces / 50
)

// TestManyNamespaces: a thousand namespaces that are labelled, or given another
// port, at once have their policies within seconds. Until then, a namespace keeps
// the port of the tenant that lost it. Each namespace costs one request, beside its
// event.
func TestManyNamespaces(t *testing.T) {
	clientset := unlimited(t)
	for name, port := range map[string]int32{"many-a": 3201, "many-b": 3202} {
		object := tenant(name, port)
		createTenant(t, &object)
	}
	createNamespaces(t, clientset)
	repaired := newNamespace(t, "client-a")
	waitForEgress(t, repaired, "3129")
	label := func(tenant string) func() {
		return func() { everywhere(t, "label", relabel(clientset, tenant)) }
	}
	log := newRequestLog(t)
	for _, step := range []struct {
		name   string
		change func()
		port   int32 // 0 for no policy
	}{
		{"labelled", label("many-a"), 3201},
		{"labelled with another tenant", label("many-b"), 3202},
		{"given another port of their tenant", func() { setPort(t, "many-b", 3203) }, 3203},
		{"unlabelled", label(""), 0},
	} {
		t.Run(step.name, func(t *testing.T) {
			// The repair shows that the webhook has seen all policies of the step before. It would
			// read those that it has not seen.
			requireRepair(t, repaired)
			log.next(t)
			measureChange(t, clientset, step.port, step.change)
			checkRequests(t, log)
		})
	}
}

// measureChange does the change, and bounds the time from its end to the last
// policy.
func measureChange(t *testing.T, clientset kubernetes.Interface, port int32, change func()) {
	t.Helper()
	seen := watchPolicies(t, clientset, port)
	before, err := load.Take(shared.cluster.Environment)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	change()
	changed := time.Since(begin)
	durations := seen.wait(t, manyNamespaces, begin)
	usage, err := before.Usage()
	if err != nil {
		t.Fatal(err)
	}
	last := durations[len(durations)-1]
	behind := max(0, last-changed)
	t.Logf("changed within %s; from the first change on, half of the policies after %s, the last after %s, which is %s after the last change, and %s without other work",
		changed.Round(time.Millisecond), durations[len(durations)/2].Round(time.Millisecond), last.Round(time.Millisecond),
		behind.Round(time.Millisecond), usage.Alone(behind).Round(time.Millisecond))
	t.Log(usage)
	if behind > patience {
		t.Errorf("the last policy is %s after the last change, want %s at most", behind, patience)
	}
}

// checkRequests checks that a change of all namespaces cost one write for each, and
// no reading. It waits for the end of the audit log, to which the API server writes a request
// after it has told its result. Events come later.
func checkRequests(t *testing.T, log *requestLog) {
	t.Helper()
	counted := requests{}
	writes := func() int { return counted.sum("networkpolicies", "patch", "update", "delete") }
	eventually(t, fmt.Sprintf("a write in each of %d namespaces", manyNamespaces), func(context.Context) (bool, string) {
		for request, count := range log.next(t) {
			counted[request] += count
		}
		return writes() >= manyNamespaces, counted.String()
	})
	t.Logf("the webhook's requests: %s", counted)
	if writes() > manyNamespaces+retried {
		t.Errorf("%d writes of policies, want one for each of %d namespaces", writes(), manyNamespaces)
	}
	for _, resource := range []string{"namespaces", "networkpolicies", "egresstenants"} {
		if reads := counted.sum(resource, "get", "list"); reads > retried {
			t.Errorf("%d readings of %s, want those of the caches only", reads, resource)
		}
	}
}

// createNamespaces creates namespaces without a label, unless they exist. They stay:
// the namespace controller would delete them for longer than all of the tests take,
// and without a label they concern no other test.
func createNamespaces(tb testing.TB, clientset kubernetes.Interface) {
	tb.Helper()
	everywhere(tb, "create", func(ctx context.Context, name string) error {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		_, err := clientset.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
}

func manyNamespace(i int) string { return fmt.Sprintf("many-%04d", i) }

// relabel returns the change of a namespace's tenant. The empty tenant removes the
// label.
func relabel(clientset kubernetes.Interface, tenant string) func(context.Context, string) error {
	value := strconv.Quote(tenant)
	if tenant == "" {
		value = "null"
	}
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%s}}}`, names.LabelTenant, value)
	return func(ctx context.Context, namespace string) error {
		_, err := clientset.CoreV1().Namespaces().Patch(ctx, namespace, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	}
}

// unlimited returns a clientset without a bound of its own on its requests.
func unlimited(tb testing.TB) *kubernetes.Clientset {
	tb.Helper()
	config, err := shared.cluster.RESTConfig()
	if err != nil {
		tb.Fatal(err)
	}
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		tb.Fatal(err)
	}
	return clientset
}

// everywhere does something in all of the namespaces, several at a time.
func everywhere(tb testing.TB, what string, do func(ctx context.Context, namespace string) error) {
	tb.Helper()
	group, ctx := errgroup.WithContext(tb.Context())
	group.SetLimit(16)
	for i := range manyNamespaces {
		group.Go(func() error { return do(ctx, manyNamespace(i)) })
	}
	if err := group.Wait(); err != nil {
		tb.Fatalf("%s: %v", what, err)
	}
}

func setPort(t *testing.T, tenant string, port int32) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"proxy":{"port":%d}}}`, port)
	object := &v1alpha1.EgressTenant{ObjectMeta: metav1.ObjectMeta{Name: tenant}}
	if err := shared.client.Patch(t.Context(), object, client.RawPatch(types.MergePatchType, patch)); err != nil {
		t.Fatal(err)
	}
}

// arrivals are the times at which namespaces first had the awaited policy.
type arrivals struct {
	mu    sync.Mutex
	times map[string]time.Time
}

// watchPolicies collects the namespaces whose policy opens the port, or whose
// policy is deleted if the port is 0.
func watchPolicies(tb testing.TB, clientset kubernetes.Interface, port int32) *arrivals {
	tb.Helper()
	list, err := clientset.NetworkingV1().NetworkPolicies("").List(tb.Context(), metav1.ListOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	events := watchFrom(tb, list.ResourceVersion, clientset.NetworkingV1().NetworkPolicies("").Watch)
	seen := &arrivals{times: map[string]time.Time{}}
	go func() {
		for event := range events.ResultChan() {
			policy, ok := event.Object.(*networkingv1.NetworkPolicy)
			if !ok {
				tb.Errorf("watching NetworkPolicies: %v", event.Object)
				return
			}
			if opens(policy, port) != (event.Type != watch.Deleted) {
				continue
			}
			seen.mu.Lock()
			if _, known := seen.times[policy.Namespace]; !known {
				seen.times[policy.Namespace] = time.Now()
			}
			seen.mu.Unlock()
		}
	}()
	return seen
}

// watchFrom watches from the version of a list on, until the test ends. A busy API server
// ends watches of clients that are slow to read: it goes on with another one.
func watchFrom(tb testing.TB, version string, open cache.WatchFuncWithContext) watch.Interface {
	tb.Helper()
	events, err := watchtools.NewRetryWatcherWithContext(tb.Context(), version, &cache.ListWatch{WatchFuncWithContext: open})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(events.Stop)
	return events
}

func opens(policy *networkingv1.NetworkPolicy, port int32) bool {
	return slices.ContainsFunc(policy.Spec.Egress, func(rule networkingv1.NetworkPolicyEgressRule) bool {
		return slices.ContainsFunc(rule.Ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port.IntVal == port })
	})
}

// wait waits for a number of namespaces, and returns when each arrived, sorted.
func (a *arrivals) wait(tb testing.TB, count int, begin time.Time) []time.Duration {
	tb.Helper()
	var durations []time.Duration
	eventually(tb, fmt.Sprintf("the policies of %d namespaces", count), func(context.Context) (bool, string) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.times) < count {
			return false, fmt.Sprintf("%d of them", len(a.times))
		}
		for _, at := range a.times {
			durations = append(durations, at.Sub(begin))
		}
		return true, ""
	})
	slices.Sort(durations)
	return durations
}
