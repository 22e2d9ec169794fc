package e2e

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"egress.scw/hack/local/environment"
)

// proxyURL returns the value of HTTP_PROXY in new pods of a tenant: the address of its
// Service.
func proxyURL(t *testing.T, tenant string) string {
	t.Helper()
	return "http://" + net.JoinHostPort(serviceAddress(t, tenant), "3128")
}

func serviceAddress(t *testing.T, tenant string) string {
	t.Helper()
	return mustKubectl(t, "--namespace=egress-system", "get", "service", "tenant-"+tenant, "--output=jsonpath={.spec.clusterIP}")
}

// endpointsOf returns the addresses of the machines behind a tenant's Service.
func endpointsOf(ctx context.Context, tenant string) (string, error) {
	return kubectl(ctx, "--namespace=egress-system", "get", "endpointslice", "tenant-"+tenant, "--output=jsonpath={.endpoints[*].addresses[*]}")
}

// A tenant's pods do not reach the Service of another tenant: their NetworkPolicy is
// evaluated behind the translation of its address. Without a policy it answers.
func TestServiceOfAnotherTenantIsClosed(t *testing.T) {
	requireEnvironment(t)
	other := net.JoinHostPort(serviceAddress(t, "client-b"), "3128")
	for _, namespace := range []string{namespaceA, namespaceAlsoA} {
		if _, err := probe(t.Context(), namespace, "dial", "tcp", other); err == nil || !isProbes(err) {
			t.Errorf("from %s to the Service of client-b: %v; want no connection", namespace, err)
		}
	}
	for _, namespace := range []string{namespaceB, namespacePlain} {
		requireDial(t, namespace, other)
	}
}

// A Service that was deleted comes back with the same address, so that pods with the
// address in their environment go on.
func TestDeletedServiceComesBack(t *testing.T) {
	requireEnvironment(t)
	address := serviceAddress(t, "client-a")
	mustKubectl(t, "--namespace=egress-system", "delete", "service", "tenant-client-a")
	eventually(t, "the Service of client-a", func() (bool, string) {
		got, err := kubectl(t.Context(), "--namespace=egress-system", "get", "service", "tenant-client-a", "--output=jsonpath={.spec.clusterIP}")
		if err == nil && got != address {
			t.Fatalf("the Service came back with %s, want %s", got, address)
		}
		return err == nil, fmt.Sprint(err)
	})
	eventually(t, "a request of a pod that ran before", func() (bool, string) {
		out, err := probe(t.Context(), namespaceA, "get", "http://"+environment.IPEchoName+"/")
		return err == nil && strings.HasPrefix(out, "200"), fmt.Sprint(out, err)
	})
}

// requests are requests of a pod, one after the other.
type requests struct {
	mu     sync.Mutex
	passed int
	failed []string
}

func keepRequesting(t *testing.T, namespace string) *requests {
	t.Helper()
	r := &requests{}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			out, err := probe(ctx, namespace, "get", "http://"+environment.IPEchoName+"/")
			if ctx.Err() == nil {
				r.add(out, err)
			}
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return r
}

func (r *requests) add(out string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && strings.HasPrefix(out, "200") {
		r.passed++
		return
	}
	r.failed = append(r.failed, fmt.Sprint(out, err))
}

// requirePassed waits for a further request, and requires that none has failed since the
// last one.
func (r *requests) requirePassed(t *testing.T) {
	t.Helper()
	before := r.count()
	eventually(t, "further requests", func() (bool, string) { return r.count() > before+1, fmt.Sprint(r.count()) })
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.failed) > 0 {
		t.Errorf("%d requests passed, and %d failed: %q", r.passed, len(r.failed), r.failed[0])
	}
	r.failed = nil
}

func (r *requests) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.passed + len(r.failed)
}
