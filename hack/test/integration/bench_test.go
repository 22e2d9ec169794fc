package integration

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"egress.scw/hack/local/process"
	"egress.scw/hack/test/load"
	"egress.scw/webhook/api/names"
)

// Bounds of BenchmarkManyPods. Times are those without other work on the machine.
const (
	maxMemoryRatio   = 1.5
	maxLabelToPolicy = time.Second
	maxRepair        = 500 * time.Millisecond
)

const (
	podsInNamespace = 20
	// changesInSecond is the rate at which labels and policies are changed, so that
	// the times are those of single changes. TestManyNamespaces changes all at once.
	changesInSecond = 20
	// idleFor is the time in which the webhook must not write.
	idleFor = time.Minute
	// podsTimeout bounds the creation of the pods. It takes some minutes on a machine
	// without other work.
	podsTimeout = 40 * time.Minute
)

// BenchmarkManyPods measures the webhook beside 1,000 tenant namespaces with 20
// pods each: its memory against that without pods, the time from a label to the
// policy, the time to the repair of a policy that was deleted or edited, and the
// writes while nothing changes. It fails above the bounds. It runs once, for some
// minutes.
func BenchmarkManyPods(b *testing.B) {
	clientset := unlimited(b)
	for name, port := range map[string]int32{"bench-a": 3211, "bench-b": 3212} {
		object := tenant(name, port)
		if err := shared.client.Create(b.Context(), &object); err != nil {
			b.Fatal(err)
		}
	}
	createNamespaces(b, clientset)
	waitServiceAccounts(b, clientset)
	paced(b, clientset, 3211, relabel(clientset, "bench-a"))
	idle(b)
	without := watchMemory(b)
	time.Sleep(idleFor / 4)
	memoryWithout := without.stop()

	with := watchMemory(b)
	createPods(b, clientset)
	label := paced(b, clientset, 3212, relabel(clientset, "bench-b"))
	repair := paced(b, clientset, 3212, damage(clientset))
	idle(b)
	log := newRequestLog(b)
	time.Sleep(idleFor)
	requests := log.next(b)
	memoryWith := with.stop()

	b.Logf("memory %d MiB without pods, at most %d MiB with %d", memoryWithout>>20, memoryWith>>20, manyNamespaces*podsInNamespace)
	b.Logf("the webhook's requests within %s: %s", idleFor, requests)
	report(b, "memory-ratio", float64(memoryWith)/float64(memoryWithout), maxMemoryRatio)
	report(b, "label-p99-ms", float64(label.Milliseconds()), float64(maxLabelToPolicy.Milliseconds()))
	report(b, "repair-p99-ms", float64(repair.Milliseconds()), float64(maxRepair.Milliseconds()))
	report(b, "idle-writes", float64(requests.writes()), 0)
	b.ReportMetric(0, "ns/op") // not a time for each operation
}

// report reports a figure, which must not be above the bound.
func report(b *testing.B, name string, value, bound float64) {
	b.Helper()
	b.ReportMetric(value, name)
	if value > bound {
		b.Errorf("%s is %.2f, want at most %.2f", name, value, bound)
	}
}

// waitServiceAccounts waits for Kubernetes to make a new namespace usable for pods.
func waitServiceAccounts(tb testing.TB, clientset kubernetes.Interface) {
	tb.Helper()
	eventually(tb, "the service accounts of the namespaces", func(ctx context.Context) (bool, string) {
		accounts, err := clientset.CoreV1().ServiceAccounts("").List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=default"})
		if err != nil {
			return false, err.Error()
		}
		return len(accounts.Items) >= manyNamespaces, fmt.Sprintf("%d of them", len(accounts.Items))
	})
}

// createPods creates the pods of all namespaces, and waits until they run.
func createPods(tb testing.TB, clientset kubernetes.Interface) {
	tb.Helper()
	begin := time.Now()
	list, err := clientset.CoreV1().Pods("").List(tb.Context(), metav1.ListOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	pods, err := watchtools.NewRetryWatcherWithContext(tb.Context(), list.ResourceVersion, &cache.ListWatch{WatchFuncWithContext: clientset.CoreV1().Pods("").Watch})
	if err != nil {
		tb.Fatal(err)
	}
	defer pods.Stop()
	running := make(chan struct{})
	go func() {
		seen := map[types.UID]bool{}
		for event := range pods.ResultChan() {
			pod, ok := event.Object.(*corev1.Pod)
			if !ok || pod.Status.Phase != corev1.PodRunning || pod.Annotations[names.AnnotationStatus] == "" {
				continue
			}
			if seen[pod.UID] = true; len(seen) == manyNamespaces*podsInNamespace {
				close(running)
				return
			}
		}
	}()
	everywhere(tb, "create pods", func(ctx context.Context, namespace string) error {
		for i := range podsInNamespace {
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("app-%d", i)},
				Spec: corev1.PodSpec{
					NodeName:   fmt.Sprintf("kwok-%d", 1+i%2), // past the scheduler, which would be the slowest part
					Containers: []corev1.Container{{Name: "app", Image: "registry.example.test/app:1"}},
				},
			}
			if _, err := clientset.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
	select {
	case <-running:
	case <-time.After(podsTimeout):
		tb.Fatalf("not all pods run after %s", time.Since(begin))
	}
	tb.Logf("%d pods run after %s", manyNamespaces*podsInNamespace, time.Since(begin).Round(time.Second))
}

// damage returns changes of a namespace's policy: deletions and edits in turn.
func damage(clientset kubernetes.Interface) func(context.Context, string) error {
	edit := false
	return func(ctx context.Context, namespace string) error {
		policies := clientset.NetworkingV1().NetworkPolicies(namespace)
		if edit = !edit; !edit {
			return policies.Delete(ctx, names.PolicyName, metav1.DeleteOptions{})
		}
		_, err := policies.Patch(ctx, names.PolicyName, types.JSONPatchType,
			[]byte(`[{"op":"replace","path":"/spec/egress","value":[{}]}]`), metav1.PatchOptions{})
		return err
	}
}

// paced does the change in one namespace after the other, and returns the 99th
// percentile of the times from the answer to the namespace's policy with the port.
func paced(tb testing.TB, clientset kubernetes.Interface, port int32, change func(context.Context, string) error) time.Duration {
	tb.Helper()
	before, err := load.Take(shared.cluster.Environment)
	if err != nil {
		tb.Fatal(err)
	}
	seen := watchPolicies(tb, clientset, port)
	changed := map[string]time.Time{}
	ticker := time.NewTicker(time.Second / changesInSecond)
	defer ticker.Stop()
	begin := time.Now()
	for i := range manyNamespaces {
		<-ticker.C
		if err := change(tb.Context(), manyNamespace(i)); err != nil {
			tb.Fatal(err)
		}
		changed[manyNamespace(i)] = time.Now()
	}
	seen.wait(tb, manyNamespaces, begin)
	var latencies []time.Duration
	for namespace, at := range seen.times {
		latencies = append(latencies, max(0, at.Sub(changed[namespace])))
	}
	slices.Sort(latencies)
	usage, err := before.Usage()
	if err != nil {
		tb.Fatal(err)
	}
	half, most := latencies[len(latencies)/2], latencies[len(latencies)*99/100]
	tb.Logf("to the policy: half within %s, 99 %% within %s, which is %s without other work; %s", half, most, usage.Alone(most), usage)
	return usage.Alone(most)
}

// idle waits until the webhook has not written for some seconds.
func idle(tb testing.TB) {
	tb.Helper()
	const quiet = 5 * time.Second
	log, last := newRequestLog(tb), time.Now()
	eventually(tb, "the end of the webhook's writes", func(context.Context) (bool, string) {
		requests := log.next(tb)
		if requests.writes() > 0 {
			last = time.Now()
		}
		return time.Since(last) > quiet, requests.String()
	})
}

// memory is the largest resident memory of the webhook's process since a time.
type memory struct {
	most int64
	end  context.CancelFunc
	done chan struct{}
}

func watchMemory(tb testing.TB) *memory {
	tb.Helper()
	running, err := shared.cluster.Environment.List()
	if err != nil {
		tb.Fatal(err)
	}
	i := slices.IndexFunc(running, func(p process.Process) bool { return p.Name == shared.webhook.command.Name })
	if i < 0 {
		tb.Fatal("the webhook does not run")
	}
	ctx, end := context.WithCancel(tb.Context())
	m := &memory{end: end, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			resident, err := running[i].Memory()
			if err != nil {
				tb.Error(err)
				return
			}
			m.most = max(m.most, resident)
			time.Sleep(100 * time.Millisecond)
		}
	}()
	return m
}

// stop returns the largest memory in bytes.
func (m *memory) stop() int64 {
	m.end()
	<-m.done
	return m.most
}
