package stack

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"egress.scw/cloudinit"
	"egress.scw/webhook/api/v1alpha1"
)

// With the source address Gateway, the proxy has one public address for the metadata
// service. squid.conf does not wait for it and does not contain it.
func TestMetadataAddress(t *testing.T) {
	t.Parallel()
	graph, err := Desired(newSpec(t, func(s *Spec) {
		s.Proxy.SourceAddress, s.Proxy.SSHSources = cloudinit.SourceGateway, nil
		s.Tenants[1].Proxy.EgressIP = v1alpha1.EgressIPShared
	}))
	if err != nil {
		t.Fatal(err)
	}
	var attached []string
	for _, r := range graph.Resources() {
		if r, ok := r.(*Attachment); ok {
			attached = append(attached, r.Key().Role)
		}
	}
	if len(attached) != 1 || attached[0] != RoleMetadata || len(graph.Proxies[0].Addresses) > 0 {
		t.Errorf("the addresses %q are attached, and the source addresses are %v", attached, graph.Proxies[0].Addresses)
	}
	before, err := graph.Proxies[0].SquidConf()
	if err != nil {
		t.Fatal(err)
	}
	graph.Proxies[0].MetadataIP.Address = netip.MustParseAddr("203.0.113.77")
	after, err := graph.Proxies[0].SquidConf()
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("the address for the metadata service changes squid.conf")
	}
	if !strings.Contains(string(after), "\ntcp_outgoing_address 172.16.28.8 ") {
		t.Errorf("the private address is not a source address:\n%s", after)
	}
}

// With the source address Gateway, the proxy boots after the gateway is attached: it
// downloads its packages through the gateway, which the DHCP lease of its private NIC
// announces. Otherwise it does not wait.
func TestProxyBootsAfterItsGateway(t *testing.T) {
	t.Parallel()
	for _, egress := range []cloudinit.SourceAddress{cloudinit.SourceGateway, cloudinit.SourceFlexibleIP} {
		graph, err := Desired(newSpec(t, func(s *Spec) {
			s.Proxy.SourceAddress, s.Proxy.SSHSources = egress, nil
			s.Tenants[1].Proxy.EgressIP = v1alpha1.EgressIPShared
		}))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range graph.Resources() {
			power, ok := r.(*Power)
			if !ok {
				continue
			}
			if waits := slices.Contains(power.Needs(), Resource(graph.GatewayNetwork)); waits != (egress == cloudinit.SourceGateway) {
				t.Errorf("%s: it waits for the gateway: %t", egress, waits)
			}
		}
	}
}
