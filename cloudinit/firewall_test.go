package cloudinit

import (
	"slices"
	"strings"
	"testing"
)

// TestFirewallAdmitsIPv4Only: a Private Network at Scaleway has an IPv6 subnet, and
// the machine may get an address in it. No connection to it is admitted, on the ports
// of tenants, releases and metrics alike: the rules that identify tenants compare
// IPv4 addresses. Of other packets, only those that IPv6 itself needs are.
func TestFirewallAdmitsIPv4Only(t *testing.T) {
	for name, machine := range casesIn(t) {
		t.Run(name, func(t *testing.T) {
			admitting := 0
			for _, rule := range inputRules(t, contentOf(t, render(t, machine), "/etc/nftables.conf")) {
				ofBoth := []string{
					"iif lo accept", "ct state established,related accept", "meta l4proto { icmp, ipv6-icmp } accept",
					"udp sport 67 udp dport 68 accept", // DHCP of IPv4
					// Bootstrap gives the public NIC addresses of IPv4 only.
					"iifname $public_nic tcp dport 22 counter accept",
				}
				if !strings.HasSuffix(rule, "accept") || slices.Contains(ofBoth, rule) {
					continue
				}
				admitting++
				if !strings.Contains(rule, " ip saddr "+machine.PrivateNetwork.String()+" ip daddr "+machine.PrivateAddress.String()+" ") {
					t.Errorf("the rule also admits IPv6: %s", rule)
				}
			}
			if admitting < 2 {
				t.Errorf("%d rules for tenants and metrics: the test looks in the wrong place", admitting)
			}
		})
	}
}

// inputRules returns the rules of the chain input, whose policy is drop.
func inputRules(t *testing.T, rules string) []string {
	t.Helper()
	_, rest, found := strings.Cut(rules, "chain input {\n        type filter hook input priority filter; policy drop;\n")
	chain, _, ends := strings.Cut(rest, "\n    }\n")
	if !found || !ends {
		t.Fatal("there is no chain input with policy drop")
	}
	var list []string
	for line := range strings.Lines(chain) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, line)
		}
	}
	return list
}
