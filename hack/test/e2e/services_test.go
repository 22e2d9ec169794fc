package e2e

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

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
	for namespace, open := range map[string]bool{namespaceA: false, namespaceAlsoA: false, namespaceB: true, namespacePlain: true} {
		_, err := probe(t.Context(), namespace, "dial", "tcp", other)
		if err != nil && !isProbes(err) {
			t.Fatal(err)
		}
		if (err == nil) != open {
			t.Errorf("%s reaches the Service of client-b: %t (%v), want %t", namespace, err == nil, err, open)
		}
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

// secondAddress is a further address of the proxy's machine, which stands for a machine of
// its own. The machine translates it, because its firewall admits clients to one address.
const secondAddress = "172.16.28.9"

// translateSecond is a script that makes the machine translate secondAddress.
const translateSecond = `nft add table ip second
nft add chain ip second prerouting '{ type nat hook prerouting priority -100; }'
nft add rule ip second prerouting ip daddr ` + secondAddress + ` dnat to `

// While the list of machines changes, and one of them stops answering, a pod keeps its
// address of the proxy, and its requests pass.
func TestPodsWorkWhileMachinesChange(t *testing.T) {
	requireEnvironment(t)
	vm, err := shared.Machine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first := shared.Plan.ProxyPrivate.String()
	onMachine := func(ctx context.Context, change string) {
		t.Helper()
		// The interface is that of the first address.
		script := fmt.Sprintf(`ip address %s %s/22 dev "$(ip -o address show to %s | awk '{print $2; exit}')"`, change, secondAddress, first)
		if out, err := vm.Exec(ctx, "sh", "-c", script); err != nil {
			t.Fatalf("%s: %v: %s", script, err, out)
		}
	}
	upgrade := func(ctx context.Context, addresses ...any) {
		t.Helper()
		r := release(t)
		r.Values["proxy"].(map[string]any)["addresses"] = addresses
		if err := r.Upgrade(ctx); err != nil {
			t.Fatal(err)
		}
	}
	waitEndpoints := func(want string) {
		t.Helper()
		eventually(t, "the endpoints "+want, func() (bool, string) {
			got, err := endpointsOf(t.Context(), "client-a")
			return err == nil && got == want, fmt.Sprint(got, err)
		})
	}
	if out, err := vm.Exec(t.Context(), "sh", "-c", translateSecond+first); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	address := serviceAddress(t, "client-a")
	requests := keepRequesting(t, namespaceA)

	onMachine(t.Context(), "add")
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		upgrade(ctx, first)
		onMachine(ctx, "delete")
		_, _ = vm.Exec(ctx, "nft", "delete", "table", "ip", "second")
	})
	upgrade(t.Context(), first, secondAddress)
	waitEndpoints(first + " " + secondAddress)
	requests.requirePassed(t)

	stopped := time.Now()
	onMachine(t.Context(), "delete")
	waitEndpoints(first)
	t.Logf("a machine that stopped left the Service after %s", time.Since(stopped).Round(100*time.Millisecond))
	requests.skip() // those that were on the way to it
	onMachine(t.Context(), "add")
	waitEndpoints(first + " " + secondAddress)
	requests.requirePassed(t)

	upgrade(t.Context(), secondAddress)
	waitEndpoints(secondAddress)
	requests.requirePassed(t)
	if got := serviceAddress(t, "client-a"); got != address {
		t.Errorf("the address of the Service is %s, was %s", got, address)
	}
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

// skip forgets the requests until now.
func (r *requests) skip() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passed, r.failed = 0, nil
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
