package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	// flooding is longer than the timeouts of requests.
	flooding = 20 * time.Second
	// admissionTimeout is the one of the webhook configuration.
	admissionTimeout = 5 * time.Second
	// repairBound is a bound of safety.
	repairBound = 30 * time.Second
	// webhookMemory is the limit of a replica, the chart's default.
	webhookMemory = 256 << 20
)

// Pods without any right flood the webhook. No pod of a tenant is refused
// meanwhile, each is admitted in time, policies are repaired, and no replica takes
// more memory than it may.
func TestFloodedWebhook(t *testing.T) {
	requireEnvironment(t)
	const namespace = "e2e-flood"
	if err := shared.ApplyNamespace(t.Context(), namespace, "client-b"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := kubectl(context.WithoutCancel(t.Context()), "delete", "namespace", namespace, "--wait=false"); err != nil {
			t.Error(err)
		}
	})
	waitPolicy(t, namespace, true)
	client, err := shared.Cluster.Clientset()
	if err != nil {
		t.Fatal(err)
	}
	service, err := client.CoreV1().Services("egress-system").Get(t.Context(), "egress-webhook", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	before := waitReplicas(t)
	// Pods that wait, so that their floods begin together.
	pods := newPods(t, namespacePlain, "flood", 2, "serve", ":8080")
	for _, p := range pods {
		mustKubectl(t, "--namespace="+p.namespace, "wait", "--for=condition=Ready", "pod/"+p.name, "--timeout=300s")
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	admissions, repairs := &longest{what: "admissions", bound: admissionTimeout}, &longest{what: "repairs", bound: repairBound}
	var running, floods sync.WaitGroup
	running.Go(func() { admissions.repeat(ctx, 50*time.Millisecond, createDry(client, namespace)) })
	running.Go(func() { repairs.repeat(ctx, time.Second, deletePolicy(client, namespace)) })
	for _, p := range pods {
		floods.Go(func() { p.flood(t, net.JoinHostPort(service.Spec.ClusterIP, "443")) })
	}
	floods.Wait()
	stop()
	running.Wait()
	admissions.check(t, 50)
	repairs.check(t, 3)
	for _, r := range before {
		peak := peakMemory(t, r)
		t.Logf("%s took %d MiB at most", r.name, peak>>20)
		if peak > webhookMemory {
			t.Errorf("%s took more memory than its limit", r.name)
		}
	}
	if after := waitReplicas(t); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("replicas before %+v, after %+v", before, after)
	}
}

// flood floods an address from the pod.
func (p pod) flood(t *testing.T, address string) {
	t.Helper()
	output, err := kubectl(t.Context(), "--namespace="+p.namespace, "exec", p.name, "--", "/main", "flood", address, flooding.String())
	counts := regexp.MustCompile(`opened (\d+) sent (\d+)`).FindStringSubmatch(output)
	if err != nil || counts == nil {
		t.Errorf("%s printed %q, %v", p.name, output, err)
		return
	}
	t.Logf("%s: %s", p.name, counts[0])
	if sent, _ := strconv.Atoi(counts[2]); sent < 100 {
		t.Errorf("%s sent %d requests, which is no flood", p.name, sent)
	}
}

// longest is the result of an action that is repeated: each time must be short.
type longest struct {
	what   string
	bound  time.Duration
	count  int
	took   time.Duration
	failed []string
}

func (l *longest) repeat(ctx context.Context, pause time.Duration, action func(context.Context) error) {
	for ctx.Err() == nil {
		begin := time.Now()
		// The last one is finished, too.
		if err := action(context.WithoutCancel(ctx)); err != nil {
			l.failed = append(l.failed, err.Error())
		}
		l.count++
		l.took = max(l.took, time.Since(begin))
		time.Sleep(pause)
	}
}

func (l *longest) check(t *testing.T, least int) {
	t.Helper()
	t.Logf("%d %s, the longest took %s, %d failed", l.count, l.what, l.took.Round(time.Millisecond), len(l.failed))
	if l.count < least || l.took > l.bound || len(l.failed) > 0 {
		t.Errorf("%d %s, the longest took %s, %d failed: %.300q", l.count, l.what, l.took, len(l.failed), l.failed[:min(3, len(l.failed))])
	}
}

// createDry has the webhook admit a pod, which is not stored.
func createDry(client kubernetes.Interface, namespace string) func(context.Context) error {
	const pod = `{"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"dry-"},"spec":{"containers":[{"name":"c","image":"none"}]}}`
	return func(ctx context.Context) error {
		body, err := client.Discovery().RESTClient().Post().AbsPath("/api/v1/namespaces/"+namespace+"/pods").
			Param("dryRun", "All").Body([]byte(pod)).DoRaw(ctx)
		if err == nil && !strings.Contains(string(body), `"HTTPS_PROXY"`) {
			return fmt.Errorf("not injected: %s", body)
		}
		return err
	}
}

// deletePolicy deletes the policy as the administrator, and waits until the webhook
// has restored it.
func deletePolicy(client kubernetes.Interface, namespace string) func(context.Context) error {
	return func(ctx context.Context) error {
		policies := client.NetworkingV1().NetworkPolicies(namespace)
		if err := policies.Delete(ctx, "egress-scw", metav1.DeleteOptions{}); err != nil {
			return err
		}
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if _, err := policies.Get(ctx, "egress-scw", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				return err
			}
		}
		return fmt.Errorf("the policy in %s is not restored", namespace)
	}
}

// peakMemory returns the most memory that a replica's process has had since its
// start.
func peakMemory(t *testing.T, r replica) (bytes int) {
	t.Helper()
	for _, pid := range processesOf(t, r.containerID) {
		status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
		if err != nil {
			t.Fatal(err)
		}
		match := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
		if match == nil {
			t.Fatalf("process %d has no VmHWM", pid)
		}
		kib, err := strconv.Atoi(string(match[1]))
		if err != nil {
			t.Fatal(err)
		}
		bytes = max(bytes, kib<<10)
	}
	if bytes == 0 {
		t.Fatalf("no process of %s found", r.name)
	}
	return bytes
}
