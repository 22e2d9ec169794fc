package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"

	"egress.scw/hack/local/environment"
)

// way is an egress path of a pod that the policy closes.
type way struct {
	name    string
	command []string
	// arrives is the place in the internet at which its packets would be
	// counted. The zero value: they would not reach the internet.
	arrives netip.AddrPort
}

func closedWays(t *testing.T) []way {
	t.Helper()
	plan := shared.Plan
	dial := func(name string, to netip.AddrPort) way {
		return way{name, []string{"dial", "tcp", to.String()}, to}
	}
	open := netip.AddrPortFrom(plan.OpenResolver, 53)
	return []way{
		dial("an internet address, HTTP", netip.AddrPortFrom(plan.Echoes[1], 80)),
		dial("an internet address, HTTPS", netip.AddrPortFrom(plan.Echoes[1], 443)),
		{"DNS outside, UDP", []string{"resolve", open.String(), environment.IPEchoName}, open},
		dial("DNS outside, TCP", open),
		dial("the metadata address", netip.AddrPortFrom(plan.Metadata, 80)),
		{"the other tenant's proxy port", []string{"dial", "tcp", plan.ProxyPrivate.String() + ":3130"}, netip.AddrPort{}},
		{"the other tenant's pod", []string{"dial", "tcp", podIP(t, namespaceB) + ":8080"}, netip.AddrPort{}},
	}
}

// Every direct path fails and no packet arrives. Without the policy, from the
// same pod, every path works and is counted.
func TestDirectPathsAreClosed(t *testing.T) {
	requireEnvironment(t)
	ways := closedWays(t)

	before := arrived(t, ways)
	for i, err := range try(t, ways) {
		switch {
		case err == nil:
			t.Errorf("%s: open", ways[i].name)
		case !isProbes(err):
			t.Errorf("%s: not tried: %v", ways[i].name, err)
		}
	}
	for i, count := range arrived(t, ways) {
		if n := count - before[i]; n != 0 {
			t.Errorf("%s: %d packets arrived", ways[i].name, n)
		}
	}

	label(t, namespaceA, "egress.scw/tenant-")
	t.Cleanup(func() {
		label(t, namespaceA, "egress.scw/tenant=client-a")
		waitPolicy(t, namespaceA, true)
	})
	waitPolicy(t, namespaceA, false)
	before = arrived(t, ways)
	eventually(t, "every way to be open without the policy", func() (bool, string) {
		var closed []string
		for i, err := range try(t, ways) {
			if err != nil {
				closed = append(closed, fmt.Sprintf("%s: %v", ways[i].name, err))
			}
		}
		return len(closed) == 0, strings.Join(closed, "; ")
	})
	for i, count := range arrived(t, ways) {
		if ways[i].arrives.IsValid() && count == before[i] {
			t.Errorf("%s: without the policy no packet was counted, so the counter proves nothing", ways[i].name)
		}
	}
}

func TestDeletedPolicyIsRestored(t *testing.T) {
	requireEnvironment(t)
	if _, err := kubectl(t.Context(), "--namespace="+namespaceB, "delete", "networkpolicy", "egress-scw"); err != nil {
		t.Fatal(err)
	}
	waitPolicy(t, namespaceB, true)
	to := netip.AddrPortFrom(shared.Plan.Echoes[1], 80).String()
	eventually(t, "the policy to be enforced again", func() (bool, string) {
		_, err := probe(t.Context(), namespaceB, "dial", "tcp", to)
		return err != nil && isProbes(err), fmt.Sprintf("%s: %v", to, err)
	})
}

// try tries all paths at once, from the pod of the first tenant.
func try(t *testing.T, ways []way) []error {
	t.Helper()
	errs := make([]error, len(ways))
	var wait sync.WaitGroup
	for i, way := range ways {
		wait.Go(func() { _, errs[i] = probe(t.Context(), namespaceA, way.command...) })
	}
	wait.Wait()
	return errs
}

// arrived returns the number of packets that the internet has counted at the
// end of each path, from all sources except the proxy.
func arrived(t *testing.T, ways []way) []uint64 {
	t.Helper()
	counts := make([]uint64, len(ways))
	for i, way := range ways {
		protocol := "tcp"
		if way.command[0] == "resolve" {
			protocol = "udp"
		}
		if way.arrives.IsValid() {
			counts[i] = arrivedAt(t, protocol, way.arrives)
		}
	}
	return counts
}

func label(t *testing.T, namespace, change string) {
	t.Helper()
	// Cleanups run after the test's context has ended.
	if _, err := kubectl(context.WithoutCancel(t.Context()), "label", "namespace", namespace, "--overwrite", change); err != nil {
		t.Error(err)
	}
}

func waitPolicy(t *testing.T, namespace string, there bool) {
	t.Helper()
	eventually(t, "the policy in "+namespace+" to be there: "+strconv.FormatBool(there), func() (bool, string) {
		out, err := kubectl(context.WithoutCancel(t.Context()), "--namespace="+namespace, "get", "networkpolicies", "-o", "name")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(out, "egress-scw") == there, out
	})
}
