package config

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Machines take the zones in turn. Their name servers are those of their zones, unless
// egress.yaml lists some. A Spec without defaults has one machine.
func TestMachines(t *testing.T) {
	t.Parallel()
	of := func(proxy ProxyMachine) (machines []string) {
		for _, m := range (&Spec{Zone: "fr-par-1", Proxy: proxy}).Machines() {
			machines = append(machines, fmt.Sprint(m.Field, " ", m.PrivateIP, " ", m.Zone, " ", m.NameServers))
		}
		return machines
	}
	for name, c := range map[string]struct {
		proxy ProxyMachine
		want  []string
	}{
		"one": {
			ProxyMachine{PrivateIP: netip.MustParseAddr("172.16.0.10")},
			[]string{"spec.proxy.privateIP 172.16.0.10 fr-par-1 [51.159.69.162 51.159.69.156]"},
		},
		"three in two zones": {
			ProxyMachine{Replicas: 3, Zones: []string{"fr-par-2", "fr-par-1"}, PrivateIPs: addresses("172.16.0.10", "172.16.0.11", "172.16.0.12")},
			[]string{
				"spec.proxy.privateIPs[0] 172.16.0.10 fr-par-2 [51.159.47.28 51.159.47.26]",
				"spec.proxy.privateIPs[1] 172.16.0.11 fr-par-1 [51.159.69.162 51.159.69.156]",
				"spec.proxy.privateIPs[2] 172.16.0.12 fr-par-2 [51.159.47.28 51.159.47.26]",
			},
		},
		"two with name servers": {
			ProxyMachine{Replicas: 2, NameServers: addresses("192.0.2.1"), PrivateIPs: addresses("172.16.0.10", "172.16.0.11")},
			[]string{
				"spec.proxy.privateIPs[0] 172.16.0.10 fr-par-1 [192.0.2.1]",
				"spec.proxy.privateIPs[1] 172.16.0.11 fr-par-1 [192.0.2.1]",
			},
		},
	} {
		if diff := cmp.Diff(c.want, of(c.proxy)); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
	for replicas, want := range map[int32]int{-1: 1, 0: 1, 1 << 30: maxReplicas} {
		if got := len((&Spec{Proxy: ProxyMachine{Replicas: replicas}}).Machines()); got != want {
			t.Errorf("%d machines for %d replicas, want %d", got, replicas, want)
		}
	}
}
