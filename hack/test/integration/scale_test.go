package integration

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

const (
	// manyNamespaces is the size at which changes of all namespaces are measured.
	manyNamespaces = 1000
	// tooLong bounds the time from the last change to the last policy. It passes on
	// a machine that is busy with other work, on which the changes themselves take
	// minutes.
	tooLong = 3 * time.Minute
)

// TestManyNamespaces: a thousand namespaces that are labelled, or given another
// port, at once have their policies within seconds. The durations are logged, in
// which the changes themselves are included.
func TestManyNamespaces(t *testing.T) {
	clientset := unlimited(t)
	for name, port := range map[string]int32{"many-a": 3201, "many-b": 3202} {
		object := tenant(name, port)
		if err := shared.client.Create(t.Context(), &object); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = shared.client.Delete(context.Background(), &object) })
	}
	// The namespaces stay: the namespace controller would delete them for longer
	// than all of the tests take. Without a label they concern no other test.
	everywhere(t, "create", func(ctx context.Context, name string) error {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		_, err := clientset.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
		return err
	})
	label := func(value string) func() {
		return func() {
			everywhere(t, "label", func(ctx context.Context, name string) error {
				patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%s}}}`, names.LabelTenant, value)
				_, err := clientset.CoreV1().Namespaces().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
				return err
			})
		}
	}
	for _, step := range []struct {
		name   string
		change func()
		port   int32 // 0 for no policy
	}{
		{"labelled", label(`"many-a"`), 3201},
		{"labelled with another tenant", label(`"many-b"`), 3202},
		{"given another port of their tenant", func() { setPort(t, "many-b", 3203) }, 3203},
		{"unlabelled", label("null"), 0},
	} {
		seen := watchPolicies(t, clientset, step.port)
		begin := time.Now()
		step.change()
		changed := time.Now()
		durations := seen.wait(t, manyNamespaces, begin)
		last := durations[len(durations)-1]
		t.Logf("%d namespaces %s: changed within %s; from the first change on, half of the policies after %s, the last after %s, which is %s after the last change",
			manyNamespaces, step.name, changed.Sub(begin).Round(time.Millisecond), durations[len(durations)/2].Round(time.Millisecond),
			last.Round(time.Millisecond), (last - changed.Sub(begin)).Round(time.Millisecond))
		if behind := last - changed.Sub(begin); behind > tooLong {
			t.Errorf("%d namespaces %s: the last policy %s after the last change", manyNamespaces, step.name, behind)
		}
	}
}

// unlimited returns a clientset without a bound of its own on its requests.
func unlimited(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	config, err := shared.cluster.RESTConfig()
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return clientset
}

// everywhere does something in all of the namespaces, several at a time.
func everywhere(t *testing.T, what string, do func(ctx context.Context, namespace string) error) {
	t.Helper()
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(16)
	for i := range manyNamespaces {
		group.Go(func() error { return do(ctx, fmt.Sprintf("many-%04d", i)) })
	}
	if err := group.Wait(); err != nil {
		t.Fatalf("%s: %v", what, err)
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
func watchPolicies(t *testing.T, clientset kubernetes.Interface, port int32) *arrivals {
	t.Helper()
	list, err := clientset.NetworkingV1().NetworkPolicies("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	events, err := clientset.NetworkingV1().NetworkPolicies("").Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(events.Stop)
	seen := &arrivals{times: map[string]time.Time{}}
	go func() {
		for event := range events.ResultChan() {
			policy, ok := event.Object.(*networkingv1.NetworkPolicy)
			if !ok || opens(policy, port) != (event.Type != "DELETED") {
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

func opens(policy *networkingv1.NetworkPolicy, port int32) bool {
	return slices.ContainsFunc(policy.Spec.Egress, func(rule networkingv1.NetworkPolicyEgressRule) bool {
		return slices.ContainsFunc(rule.Ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port.IntVal == port })
	})
}

// wait waits for a number of namespaces, and returns when each arrived, sorted.
func (a *arrivals) wait(t *testing.T, count int, begin time.Time) []time.Duration {
	t.Helper()
	var durations []time.Duration
	eventually(t, fmt.Sprintf("the policies of %d namespaces", count), func(context.Context) (bool, string) {
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
