package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stream creates pods in a namespace, one after the other, until it is stopped.
// The pods never run: no scheduler is responsible for them.
type stream struct {
	namespace string
	mu        sync.Mutex
	created   int
	bare      int // created without proxy variables
	errors    []string
}

func (s *stream) run(ctx context.Context) {
	pod := `{"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"stream-"},"spec":{"schedulerName":"none",` +
		`"terminationGracePeriodSeconds":0,"automountServiceAccountToken":false,"containers":[{"name":"c","image":"none"}]}}`
	client, err := shared.Cluster.Clientset()
	if err != nil {
		s.note(nil, err)
		return
	}
	for ctx.Err() == nil {
		// The stream finishes its last request before it stops.
		body, err := client.Discovery().RESTClient().Post().AbsPath("/api/v1/namespaces/" + s.namespace + "/pods").
			Body([]byte(pod)).DoRaw(context.WithoutCancel(ctx))
		s.note(body, err)
		time.Sleep(30 * time.Millisecond) // the two cores have other work as well
	}
}

func (s *stream) note(body []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.errors = append(s.errors, err.Error())
		return
	}
	s.created++
	if !strings.Contains(string(body), `"HTTPS_PROXY"`) {
		s.bare++
	}
}

func (s *stream) counts() (created, bare int, errors []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.created, s.bare, append([]string(nil), s.errors...)
}

// Replicas end and are replaced while a stream of pods is created. Replicas
// that end in good order drop no request. Killed replicas may drop requests,
// but no pod of a tenant is created without injection. Namespaces without a
// tenant are never affected.
func TestReplicasAreReplaced(t *testing.T) {
	requireEnvironment(t)
	const (
		tenantNamespace = "e2e-stream"
		plainNamespace  = "e2e-stream-plain"
		rounds          = 4 // of each kind
	)
	for namespace, tenant := range map[string]string{tenantNamespace: "client-a", plainNamespace: ""} {
		if err := shared.ApplyNamespace(t.Context(), namespace, tenant); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if _, err := kubectl(context.WithoutCancel(t.Context()), "delete", "namespace", namespace); err != nil {
				t.Error(err)
			}
		})
	}
	tenant, plain := &stream{namespace: tenantNamespace}, &stream{namespace: plainNamespace}
	ctx, stop := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() { tenant.run(ctx) })
	wait.Go(func() { plain.run(ctx) })
	stopAll := sync.OnceFunc(func() { stop(); wait.Wait() })
	t.Cleanup(stopAll)

	for round := range rounds {
		pods := waitReplicas(t)
		if _, err := kubectl(t.Context(), "--namespace=egress-system", "delete", "pod", pods[round%2].name); err != nil {
			t.Fatal(err)
		}
	}
	waitReplicas(t)
	created, _, errs := tenant.counts()
	t.Logf("%d pods of the tenant while %d replicas ended in good order, %d errors", created, rounds, len(errs))
	if len(errs) > 0 {
		t.Errorf("replicas that end in good order drop requests: %d, the first: %s", len(errs), errs[0])
	}

	for round := range rounds {
		kill(t, waitReplicas(t)[round%2])
	}
	waitReplicas(t)
	stopAll()
	created, bare, errs := tenant.counts()
	t.Logf("%d pods of the tenant in all; %d were refused while %d replicas were killed", created, len(errs), rounds)
	if created == 0 || bare > 0 {
		t.Errorf("%d pods of the tenant, %d of them without a proxy", created, bare)
	}
	created, bare, errs = plain.counts()
	if created == 0 || bare != created || len(errs) > 0 {
		t.Errorf("%d pods without a tenant, %d of them untouched, errors %q", created, bare, errs)
	}
}

// replica is a pod of the webhook.
type replica struct {
	name, containerID string
	restarts          int
}

func replicas(t *testing.T) []replica {
	t.Helper()
	out, err := kubectl(t.Context(), "--namespace=egress-system", "get", "pods", "-l", "app.kubernetes.io/name=egress-webhook", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Items []struct {
			Metadata struct {
				Name              string
				DeletionTimestamp string
			}
			Status struct {
				ContainerStatuses []struct {
					ContainerID  string
					RestartCount int
					Ready        bool
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	var found []replica
	for _, pod := range list.Items {
		if statuses := pod.Status.ContainerStatuses; pod.Metadata.DeletionTimestamp == "" && len(statuses) == 1 && statuses[0].Ready {
			found = append(found, replica{pod.Metadata.Name, strings.TrimPrefix(statuses[0].ContainerID, "containerd://"), statuses[0].RestartCount})
		}
	}
	return found
}

func waitReplicas(t *testing.T) (found []replica) {
	t.Helper()
	eventually(t, "two replicas to be ready", func() (bool, string) {
		found = replicas(t)
		return len(found) == 2, fmt.Sprintf("%+v", found)
	})
	return found
}

// kill ends a replica's process as the kernel does when memory runs out, and
// waits until kubelet has started another in its place.
func kill(t *testing.T, victim replica) {
	t.Helper()
	pids := processesOf(t, victim.containerID)
	if len(pids) == 0 {
		t.Fatalf("no process of %s found", victim.name)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, victim.name+" to be restarted", func() (bool, string) {
		for _, r := range replicas(t) {
			if r.name == victim.name && r.restarts > victim.restarts {
				return true, ""
			}
		}
		return false, "not ready, or not restarted yet"
	})
}

// processesOf returns the processes in a container's cgroups.
func processesOf(t *testing.T, containerID string) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		cgroup, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cgroup"))
		if err == nil && strings.Contains(string(cgroup), containerID) {
			pids = append(pids, pid)
		}
	}
	return pids
}
