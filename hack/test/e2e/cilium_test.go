package e2e

import (
	"net/netip"
	"testing"
)

// forgeOnCilium sends a packet with its own address from a pod without a policy,
// which must arrive: no packet with a tenant's made-up address has arrived until
// then. Cilium knows a pod by its interface, and judges it by its own policies
// whatever its packets' source is. That cannot be turned off for a comparison.
func forgeOnCilium(t *testing.T, target netip.AddrPort) {
	t.Helper()
	if n := arrivedAt(t, "udp", target); n != 0 {
		t.Errorf("%d packets with another pod's address arrived", n)
	}
	const own = "0.0.0.0:4000" // the kernel replaces this address by the pod's
	for _, p := range newPods(t, namespacePlain, "own-address", 1, "forge", own, target.String()) {
		if output, ok := p.result(t); !ok {
			t.Fatalf("%s: the packet was not sent: %s", p.name, output)
		}
	}
	eventually(t, "a packet with the pod's own address to arrive", func() (bool, string) {
		return arrivedAt(t, "udp", target) > 0, "no packet"
	})
}
