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
	pods := newPods(t, namespacePlain, "flood", 2, "flood", net.JoinHostPort(service.Spec.ClusterIP, "443"), flooding.String())
	eventually(t, "the flood to begin", func() (bool, string) {
		out, err := kubectl(t.Context(), "--namespace="+namespacePlain, "get", "pod", pods[0].name, pods[1].name, "-o", "jsonpath={.items[*].status.phase}")
		return out == "Running Running", fmt.Sprintf("%s %v", out, err)
	})

	ctx, stop := context.WithTimeout(t.Context(), flooding-2*time.Second)
	defer stop()
	admissions, repairs := &longest{what: "admissions"}, &longest{what: "repairs"}
	var running sync.WaitGroup
	running.Go(func() { admissions.repeat(ctx, 50*time.Millisecond, createDry(client, namespace)) })
	running.Go(func() { repairs.repeat(ctx, time.Second, deletePolicy(client, namespace)) })
	running.Wait()
	for _, p := range pods {
		output, _ := p.result(t)
		counts := regexp.MustCompile(`opened (\d+) sent (\d+)`).FindStringSubmatch(output)
		if counts == nil {
			t.Fatalf("%s printed %q", p.name, output)
		}
		t.Logf("%s: %s", p.name, counts[0])
		if sent, _ := strconv.Atoi(counts[2]); sent < 100 {
			t.Errorf("%s sent %d requests, which is no flood", p.name, sent)
		}
	}
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

// longest is the result of an action that is repeated: each time must be short.
type longest struct {
	what   string
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
	if l.count < least || l.took > admissionTimeout || len(l.failed) > 0 {
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
