package stack

import (
	"net/netip"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"egress.scw/bootstrap/config/configtest"
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// The example sets every field, so each of them reaches the resources.
func TestDesiredOfTheExample(t *testing.T) {
	text, err := os.ReadFile("../egress.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	spec := NewSpec(configtest.Decode(t, string(text)), "unused")
	if spec.Name != "production" || spec.Project != "11111111-2222-3333-4444-555555555555" || len(spec.Tenants) != 3 {
		t.Errorf("name %q, project %q, %d tenants", spec.Name, spec.Project, len(spec.Tenants))
	}
	graph, err := Desired(spec)
	if err != nil {
		t.Fatal(err)
	}
	got := map[Key]Resource{}
	for _, r := range graph.Resources() {
		got[r.Key()] = r
	}
	pool := func(role string) Key { return Key{KindPool, role} }
	proxy := func(kind Kind) Key { return Key{kind, "proxy"} }
	for key, want := range map[Key]Resource{
		{Kind: KindPrivateNetwork}: &PrivateNetwork{ResourceMeta: ResourceMeta{Name: "egress-production"}, CIDR: netip.MustParsePrefix("172.16.0.0/22")},
		{Kind: KindGateway}:        &Gateway{ResourceMeta: ResourceMeta{Name: "egress-production"}, Zone: "fr-par-1", Type: "VPC-GW-S", Status: "ready"},
		{Kind: KindGatewayNetwork}: &GatewayNetwork{ResourceMeta: ResourceMeta{Name: "egress-production"}, Masquerade: true, DefaultRoute: true, Status: "ready"},
		proxy(KindSecurityGroup):   &SecurityGroup{ResourceMeta: ResourceMeta{Name: "egress-production-proxy"}, Role: "proxy", Zone: "fr-par-1", SSHSources: prefixes("198.51.100.0/24")},
		proxy(KindServer):          &Server{ResourceMeta: ResourceMeta{Name: "egress-production-proxy"}, Role: "proxy", Zone: "fr-par-1", Type: "PLAY2-NANO", Image: "debian_trixie", VolumeGB: 40},
		proxy(KindPrivateIP):       &PrivateIP{ResourceMeta: ResourceMeta{Name: "egress-production-proxy"}, Role: "proxy", Address: netip.MustParseAddr("172.16.0.10")},
		{Kind: KindCluster}: &Cluster{
			ResourceMeta: ResourceMeta{Name: "egress-production"}, CNI: "cilium",
			PodCIDR: netip.MustParsePrefix("100.64.0.0/15"), ServiceCIDR: netip.MustParsePrefix("10.32.0.0/20"),
			ACL:         prefixes("198.51.100.0/24", "203.0.113.7/32"),
			AutoUpgrade: AutoUpgrade{Day: "sunday", StartHour: 3},
			Autoscaler:  Autoscaler{Expander: "least_waste", ScaleDownDelayAfterAdd: "10m", ScaleDownUnneededTime: "10m"},
			Status:      "ready",
		},
		pool("system"): &Pool{
			ResourceMeta: ResourceMeta{Name: "system"}, NodeType: "pro2_xxs", Zone: "fr-par-1", VolumeGB: 40, Size: 2, Autohealing: true,
			Labels: map[string]string{}, Status: "ready",
		},
		pool("client-a"): &Pool{
			ResourceMeta: ResourceMeta{Name: "client-a"}, NodeType: "pro2_s", Zone: "fr-par-1", VolumeGB: 20, Size: 1, Min: 1, Max: 5, Autohealing: true,
			Labels: map[string]string{"example.com/billing": "client-a", "egress.scw/tenant": "client-a"},
			Taints: []Taint{{"example.com/burst", "true", "PreferNoSchedule"}, {"egress.scw/tenant", "client-a", "NoSchedule"}},
			Status: "ready",
		},
		{Kind: KindRegistry}: &Registry{ResourceMeta: ResourceMeta{Name: "example-corp-production"}},
	} {
		// Links to other resources, and the user data, are tested elsewhere.
		diff := cmp.Diff(want, got[key], cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.IgnoreUnexported(),
			cmpopts.IgnoreFields(PrivateNetwork{}, "VPC"), cmpopts.IgnoreFields(GatewayNetwork{}, "Gateway", "Network"),
			cmpopts.IgnoreFields(Server{}, "SecurityGroup", "CloudInit"), cmpopts.IgnoreFields(PrivateIP{}, "Network"),
			cmpopts.IgnoreFields(Cluster{}, "Network"), cmpopts.IgnoreFields(Pool{}, "Cluster"))
		if diff != "" {
			t.Errorf("%s: -want +got\n%s", key, diff)
		}
	}
	machine := graph.Proxies[0].machine()
	if machine.Syslog == nil || machine.Syslog.Host != "logs.example.com" || machine.Syslog.Address != netip.MustParseAddr("198.51.100.20") {
		t.Errorf("syslog %+v", machine.Syslog)
	}
	if len(machine.NameServers) != 2 || !machine.SSH || machine.SourceAddress != "FlexibleIP" {
		t.Errorf("machine %+v", machine)
	}
}

func TestSpecOfOtherShapes(t *testing.T) {
	spec := NewSpec(configtest.Decode(t, `
apiVersion: egress.scw/v1alpha1
kind: Egress
metadata: {name: small}
spec:
  zone: nl-ams-1
  network: {id: 22222222-3333-4444-8555-666666666666}
  gateway: {enabled: false}
  proxy: {privateIP: 172.16.28.8}
  cluster: {cidrs: [10.244.0.0/16]}
  tenants: [{name: client-a, proxy: {port: 3129}}]
`), "of-the-credentials")
	if spec.Project != "of-the-credentials" || spec.Region != "nl-ams" || spec.Network.CIDR.IsValid() {
		t.Errorf("%+v", spec)
	}
	graph, err := Desired(spec)
	if err != nil {
		t.Fatal(err)
	}
	if graph.Network.ID != "22222222-3333-4444-8555-666666666666" || graph.VPC != nil || graph.Gateway != nil || graph.Registry != nil {
		t.Errorf("network %v, VPC %v, gateway %v, registry %v", graph.Network, graph.VPC, graph.Gateway, graph.Registry)
	}
	// The ranges of an unmanaged cluster only reach the chart.
	if graph.Cluster != nil || len(spec.Cluster.CIDRs) != 1 {
		t.Errorf("cluster %v, ranges %v", graph.Cluster, spec.Cluster.CIDRs)
	}
}

func TestNormalNodeType(t *testing.T) {
	for commercial, want := range map[string]string{
		"PRO2-XXS": "pro2_xxs", "GP1-S": "gp1_s", "pro2_xxs": "pro2_xxs", "POP2-HM-2C-16G": "pop2_hm_2c_16g", "H100-1-80G": "h100_1_80g",
	} {
		if got := NormalNodeType(commercial); got != want {
			t.Errorf("%s is %s, want %s", commercial, got, want)
		}
	}
}
