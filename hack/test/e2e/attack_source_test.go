package e2e

import (
	"context"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"testing"

	"egress.scw/hack/local/environment"
	"egress.scw/hack/local/network"
)

// A tenant's pod cannot send with the address of a pod that has no policy. The
// node's network drops such packets, not the policy: without its check of
// sources they arrive in the internet.
func TestForgedSource(t *testing.T) {
	requireEnvironment(t)
	const port = 4000 // no other test sends there
	target := netip.AddrPortFrom(shared.Plan.Echoes[1], port)
	source := net.JoinHostPort(podIP(t, namespacePlain), strconv.Itoa(port))
	forge := func(name string) {
		t.Helper()
		for _, p := range newPods(t, namespaceA, name, 1, "forge", source, target.String()) {
			if output, ok := p.result(t); !ok {
				t.Fatalf("%s: the packet was not sent: %s", p.name, output)
			}
		}
	}
	forge("forged")
	if *cni == environment.CNICilium {
		forgeOnCilium(t, target)
		return
	}

	t.Cleanup(func() { checkSources(t, "1") })
	checkSources(t, "0")
	checked := arrivedAt(t, "udp", target)
	if checked != 0 {
		t.Errorf("%d packets with another pod's address arrived", checked)
	}
	forge("unchecked")
	eventually(t, "a forged packet to arrive without the check", func() (bool, string) {
		return arrivedAt(t, "udp", target) > checked, "no packet"
	})
}

// checkSources turns the node's check of source addresses on or off.
func checkSources(t *testing.T, value string) {
	t.Helper()
	// The interface of a pod that ends may be removed meanwhile.
	const script = `for setting in /proc/sys/net/ipv4/conf/*/rp_filter; do echo "$1" >"$setting" || [ ! -e "$setting" ] || exit; done`
	// Cleanups run after the test's context has ended.
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "ip", "netns", "exec", shared.Plan.Netns(network.Node),
		"sh", "-c", script, "sh", value).CombinedOutput()
	if err != nil {
		t.Fatalf("source check %s: %v: %s", value, err, out)
	}
}

// arrivedAt returns the number of packets that the internet has counted at an
// address and port, from all sources except the proxy.
func arrivedAt(t *testing.T, protocol string, to netip.AddrPort) (packets uint64) {
	t.Helper()
	counters, err := shared.Arrived(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counters {
		if c.Destination == to.Addr() && c.Port == to.Port() && c.Protocol == protocol && !shared.Plan.ProxyPublic.Contains(c.Source) {
			packets += c.Packets
		}
	}
	return packets
}
