package stack

import (
	"net/netip"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/bootstrap/config"
	"egress.scw/cloudinit"
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func loadEgress(t *testing.T, text string) *config.Egress {
	t.Helper()
	egress, err := config.LoadEgress("egress.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return egress
}

// The example has every field, so that each arrives.
func TestSpecOfTheExample(t *testing.T) {
	text, err := os.ReadFile("../egress.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	egress := loadEgress(t, string(text))
	got, err := NewSpec(egress, "unused")
	if err != nil {
		t.Fatal(err)
	}
	want := Spec{
		Name: "production", Project: "11111111-2222-3333-4444-555555555555", Region: "fr-par", Zone: "fr-par-1",
		NetworkCIDR: netip.MustParsePrefix("172.16.0.0/22"),
		Gateway:     &GatewaySpec{Type: "VPC-GW-S", Masquerade: true, DefaultRoute: true},
		Proxy: ProxySpec{
			Type: "PLAY2-NANO", Image: "debian_bookworm", VolumeGB: 40, PrivateIP: netip.MustParseAddr("172.16.0.10"),
			Egress: cloudinit.SourceFlexibleIP, SSHSources: prefixes("198.51.100.0/24"),
			NameServers: []netip.Addr{netip.MustParseAddr("51.159.69.162"), netip.MustParseAddr("51.159.69.156")},
			Syslog: &cloudinit.Syslog{
				Host: "logs.example.com", Address: "198.51.100.20", Port: 6514, CA: egress.Proxy.AuditLog.Syslog.CA,
			},
		},
		Cluster: &ClusterSpec{
			Version: "1.34", CNI: "cilium", PodCIDR: netip.MustParsePrefix("100.64.0.0/15"), ServiceCIDR: netip.MustParsePrefix("10.32.0.0/20"),
			ACL:         prefixes("198.51.100.0/24", "203.0.113.7/32"),
			AutoUpgrade: AutoUpgrade{Day: "sunday", StartHour: 3},
			Autoscaler:  Autoscaler{Expander: "least_waste", ScaleDownDelayAfterAdd: "10m", ScaleDownUnneededTime: "10m"},
			Pools: []PoolSpec{
				{Name: "system", NodeType: "pro2_xxs", Zone: "fr-par-1", VolumeGB: 40, Size: 2, Autohealing: true, Labels: map[string]string{}},
				{
					Name: "client-a", NodeType: "pro2_s", Zone: "fr-par-1", VolumeGB: 20, Size: 1, Min: 1, Max: 5, Autohealing: true,
					Labels: map[string]string{"example.com/billing": "client-a", "egress.scw/tenant": "client-a"},
					Taints: []Taint{{"example.com/burst", "true", "PreferNoSchedule"}, {"egress.scw/tenant", "client-a", "NoSchedule"}},
				},
			},
		},
		Registry: &RegistrySpec{Name: "example-corp-production"},
		Tenants:  egress.Tenants,
	}
	compare := []cmp.Option{
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	}
	if diff := cmp.Diff(want, got, compare...); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if len(got.Tenants) != 3 {
		t.Errorf("%d tenants", len(got.Tenants))
	}
}

func TestSpecOfOtherShapes(t *testing.T) {
	spec, err := NewSpec(loadEgress(t, `
apiVersion: egress.scw/v1alpha1
kind: Egress
name: small
zone: nl-ams-1
network: {id: 22222222-3333-4444-8555-666666666666}
gateway: {enabled: false}
proxy: {privateIP: 172.16.28.8}
cluster: {cidrs: [10.244.0.0/16]}
tenants: [{name: client-a, proxy: {port: 3129}}]
`), "of-the-credentials")
	if err != nil {
		t.Fatal(err)
	}
	if spec.Project != "of-the-credentials" || spec.Region != "nl-ams" || spec.NetworkID == "" || spec.NetworkCIDR.IsValid() {
		t.Errorf("%+v", spec)
	}
	if spec.Gateway != nil || spec.Registry != nil {
		t.Errorf("gateway %v, registry %v", spec.Gateway, spec.Registry)
	}
	// A cluster that is somebody else's is told to the chart only.
	if spec.Cluster != nil || len(spec.ClusterCIDRs) != 1 {
		t.Errorf("cluster %v, ranges %v", spec.Cluster, spec.ClusterCIDRs)
	}
}

// A configuration that nobody validated is an error, not an address of zeros.
func TestSpecNeedsValidation(t *testing.T) {
	egress := loadEgress(t, example)
	egress.Proxy.PrivateIP = "172.16.28.x"
	if spec, err := NewSpec(egress, ""); err == nil {
		t.Errorf("no error, and %v", spec.Proxy.PrivateIP)
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
