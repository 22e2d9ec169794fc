package controller

import (
	"net/netip"
	"testing"
	"time"

	"egress.scw/webhook/api/proxystatus"
)

// TestProberKnowsMachines: a machine is an endpoint of a tenant's Service if it answered
// last, and serves the tenant's port. A machine that does not tell is asked on the port, but
// not one that refuses to tell.
func TestProberKnowsMachines(t *testing.T) {
	t.Parallel()
	now := time.Now()
	served := []proxystatus.Tenant{{Port: 3129, Name: "client-a"}}
	p := NewProxyProber(nil, nil)
	p.machines = map[netip.Addr]machineState{
		netip.MustParseAddr("172.16.28.8"):  {asked: now, answered: now, served: served},
		netip.MustParseAddr("172.16.28.9"):  {asked: now, answered: now},
		netip.MustParseAddr("172.16.28.10"): {asked: now, answered: now.Add(-time.Second), err: "no answer within 1s"},
		netip.MustParseAddr("172.16.28.11"): {asked: now, err: "no answer within 1s"},
		netip.MustParseAddr("172.16.28.12"): {asked: now, err: "no answer within 1s"},
		netip.MustParseAddr("172.16.28.13"): {asked: now, err: "no answer within 1s"},
		netip.MustParseAddr("172.16.28.15"): {asked: now, err: "connection refused", withheld: true},
	}
	p.answers = map[netip.AddrPort]portAnswer{
		netip.MustParseAddrPort("172.16.28.11:3129"): {tenant: "client-a"},
		netip.MustParseAddrPort("172.16.28.15:3129"): {tenant: "client-a"},
		netip.MustParseAddrPort("172.16.28.12:3129"): {err: "no answer within 5s"},
	}
	for address, want := range map[string]string{
		"172.16.28.8": "answers", "172.16.28.9": "does not", "172.16.28.10": "does not", "172.16.28.11": "answers",
		"172.16.28.12": "does not", "172.16.28.13": "unknown", "172.16.28.14": "unknown",
		"172.16.28.15": "does not",
	} {
		answers, known := p.Answers(netip.MustParseAddr(address), 3129)
		got := "unknown"
		if known {
			got = map[bool]string{true: "answers", false: "does not"}[answers]
		}
		if got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
