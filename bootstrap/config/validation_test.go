package config

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"egress.scw/cloudinit"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

var gatewayTenant = v1alpha1.Tenant{Name: "client-g", EgressTenantSpec: v1alpha1.EgressTenantSpec{Path: v1alpha1.PathGateway}}

func prefixes(texts ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		parsed = append(parsed, netip.MustParsePrefix(text))
	}
	return parsed
}

// whole is a valid Egress with defaults that uses most fields.
func whole(tb testing.TB) *Egress {
	tb.Helper()
	egress, err := Load(exampleFile, readExample(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return egress
}

func TestSetDefaultsTwice(t *testing.T) {
	t.Parallel()
	autoscaled := func(least int32) *Egress {
		return &Egress{Spec: Spec{Zone: "nl-ams-2", Cluster: &Cluster{Pools: []Pool{{Autoscaling: &Autoscaling{Min: least, Max: 5}}}}}}
	}
	for name, egress := range map[string]*Egress{
		"nothing":           {},
		"zone":              {Spec: Spec{Zone: "fr-par-2"}},
		"broken zone":       {Spec: Spec{Zone: "-"}},
		"whole":             whole(t),
		"existing cluster":  {Spec: Spec{Cluster: &Cluster{ID: "x", Pools: []Pool{{}}}}},
		"unmanaged cluster": {Spec: Spec{Cluster: &Cluster{CIDRs: prefixes("10.0.0.0/8")}}},
		"autoscaled":        autoscaled(2),
	} {
		egress.SetDefaults()
		once := clone(t, egress)
		egress.SetDefaults()
		if diff := cmp.Diff(once, egress, compareAddresses(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: changed by the second call:\n%s", name, diff)
		}
	}

	for want, egress := range map[int32]*Egress{1: autoscaled(0), 3: autoscaled(3)} {
		if egress.SetDefaults(); egress.Spec.Cluster.Pools[0].Size != want {
			t.Errorf("size is %d, want %d", egress.Spec.Cluster.Pools[0].Size, want)
		}
	}
	for _, cluster := range []Cluster{{ID: "x"}, {CIDRs: prefixes("10.0.0.0/8")}} {
		egress := Egress{Spec: Spec{Cluster: clone(t, &cluster)}}
		if egress.SetDefaults(); !cmp.Equal(*egress.Spec.Cluster, cluster, compareAddresses()) {
			t.Errorf("a cluster that is not created got defaults: %+v", egress.Spec.Cluster)
		}
	}
}

func TestSetDefaultsKeeps(t *testing.T) {
	t.Parallel()
	egress := &Egress{Spec: Spec{
		Region: "nl-ams", Zone: "fr-par-1",
		Gateway: Gateway{Enabled: new(false), Zone: "nl-ams-2", Type: "A", Masquerade: new(false), DefaultRoute: new(false)},
		Proxy: ProxyMachine{
			Replicas: 2, Type: "B", Image: "c", VolumeGB: 1, SourceAddress: cloudinit.SourceGateway, NameServers: addresses("192.0.2.1"),
			AuditLog: AuditLog{Syslog: &cloudinit.Syslog{Port: 1}}, Identity: cloudinit.IdentityOffered,
		},
		Cluster: &Cluster{
			CNI: "e", PodCIDR: netip.MustParsePrefix("10.0.0.0/8"), ServiceCIDR: netip.MustParsePrefix("10.1.0.0/16"),
			Autoscaler: &Autoscaler{Expander: "f", ScaleDownDisabled: true, ScaleDownDelayAfterAdd: "1m", ScaleDownUnneededTime: "2m"},
			Pools:      []Pool{{Zone: "h", Size: 7, VolumeGB: 8, Autohealing: new(false)}},
		},
		Outputs: Outputs{Kubeconfig: "i", Values: "j", KnownHosts: "k", HideKubeconfig: new(false)},
	}}
	want := clone(t, egress)
	egress.SetDefaults()
	if diff := cmp.Diff(want, egress, compareAddresses()); diff != "" {
		t.Errorf("changed set fields:\n%s", diff)
	}
}

func TestEveryZoneOfTheRegionsHasResolvers(t *testing.T) {
	t.Parallel()
	seen := map[netip.Addr]bool{}
	for _, region := range []string{"fr-par", "nl-ams", "pl-waw"} {
		for i := range 3 {
			zone := fmt.Sprintf("%s-%d", region, i+1)
			servers := publicResolvers[zone]
			if errs := cloudinit.ValidateNameServers(servers, cloudinit.SourceFlexibleIP, nil); len(errs) > 0 {
				t.Errorf("%s: %v", zone, errs)
			}
			for _, server := range servers {
				if seen[server] {
					t.Errorf("%s: %s is repeated", zone, server)
				}
				seen[server] = true
			}
			if len(servers) != 2 {
				t.Errorf("%s has %d resolvers, want 2", zone, len(servers))
			}
		}
	}
}

func TestEgressValidate(t *testing.T) {
	t.Parallel()
	const label = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
	const value = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
	const key = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
	const id = "must be a UUID in lower case, such as 11111111-2222-3333-4444-555555555555, without the region that some tools put before it"
	const existing = "Forbidden: applies to clusters that bootstrap creates, not to an existing one (spec.cluster.id): remove it"
	const elsewhere = "Forbidden: applies to clusters that bootstrap creates or adds pools to, not to an unmanaged one (spec.cluster.cidrs): remove it"
	const uuid = "22222222-3333-4444-5555-666666666666"

	for name, test := range map[string]struct {
		change func(*Egress)
		want   []string
	}{
		"as it is": {func(*Egress) {}, nil},

		"no name":      {func(e *Egress) { e.Metadata.Name = "" }, []string{"metadata.name: Required value: a DNS label, such as client-a"}},
		"longest name": {func(e *Egress) { e.Metadata.Name = strings.Repeat("a", 32) }, nil},
		"long name":    {func(e *Egress) { e.Metadata.Name = strings.Repeat("a", 33) }, []string{"metadata.name: Too long: may not be more than 32 bytes"}},
		"name of dots": {func(e *Egress) { e.Metadata.Name = "a.b" }, []string{`metadata.name: Invalid value: "a.b": must not contain dots`}},

		"no project":        {func(e *Egress) { e.Spec.Project = "" }, nil},
		"name of a project": {func(e *Egress) { e.Spec.Project = "default" }, []string{`spec.project: Invalid value: "default": ` + id}},
		"project in capitals": {
			func(e *Egress) { e.Spec.Project = "AAAAAAAA-2222-3333-4444-555555555555" },
			[]string{`spec.project: Invalid value: "AAAAAAAA-2222-3333-4444-555555555555": ` + id},
		},

		"no zone":         {func(e *Egress) { e.Spec.Zone, e.Spec.Region = "", "" }, []string{"spec.zone: Required value: a zone such as fr-par-1"}},
		"zone of no form": {func(e *Egress) { e.Spec.Zone = "par1" }, []string{`spec.zone: Invalid value: "par1": must be a zone such as fr-par-1`}},
		"zone elsewhere":  {func(e *Egress) { e.Spec.Zone = "nl-ams-1" }, []string{`spec.zone: Invalid value: "nl-ams-1": must be in the region fr-par, like network and cluster`}},
		"region of no form": {
			func(e *Egress) { e.Spec.Region = "fr-par-1" },
			[]string{`spec.region: Invalid value: "fr-par-1": must be a region such as fr-par`},
		},

		"no network":   {func(e *Egress) { e.Spec.Network = Network{} }, []string{"spec.network: Required value: id of a Private Network, or cidr of one to create"}},
		"path Gateway": {func(e *Egress) { e.Spec.Tenants = append(e.Spec.Tenants, gatewayTenant) }, nil},
		"path Gateway, the network's own gateway": {func(e *Egress) {
			e.Spec.Tenants, e.Spec.Network, e.Spec.Gateway.Enabled = append(e.Spec.Tenants, gatewayTenant), Network{ID: uuid}, new(false)
		}, nil},
		"path Gateway without gateway": {func(e *Egress) {
			e.Spec.Tenants, e.Spec.Gateway.DefaultRoute, e.Spec.Cluster = append(e.Spec.Tenants, gatewayTenant), new(false), nil
		}, []string{`spec.tenants[3].path: Invalid value: "Gateway": must be Proxy while spec.gateway.defaultRoute is false: the tenant's traffic would not leave the network`}},
		"existing network": {func(e *Egress) { e.Spec.Network = Network{ID: uuid} }, nil},
		"both networks":    {func(e *Egress) { e.Spec.Network.ID = uuid }, []string{"spec.network.cidr: Forbidden: an existing network (spec.network.id) has its CIDR: remove one of the two"}},
		"network with a region": {
			func(e *Egress) { e.Spec.Network = Network{ID: "fr-par/" + uuid} },
			[]string{`spec.network.id: Invalid value: "fr-par/` + uuid + `": ` + id},
		},
		"smallest network": {func(e *Egress) { e.Spec.Network.CIDR = netip.MustParsePrefix("172.16.0.0/28") }, nil},
		"largest network":  {func(e *Egress) { e.Spec.Network.CIDR = netip.MustParsePrefix("172.16.0.0/20") }, nil},
		"network too small": {
			func(e *Egress) { e.Spec.Network.CIDR = netip.MustParsePrefix("172.16.0.8/29") },
			[]string{`spec.network.cidr: Invalid value: "172.16.0.8/29": must be between /20 and /28`},
		},
		"network too large": {
			func(e *Egress) { e.Spec.Network.CIDR = netip.MustParsePrefix("172.16.0.0/19") },
			[]string{`spec.network.cidr: Invalid value: "172.16.0.0/19": must be between /20 and /28`},
		},
		"network of IPv6": {func(e *Egress) { e.Spec.Network.CIDR = netip.MustParsePrefix("fd00::/64") }, []string{`spec.network.cidr: Invalid value: "fd00::/64": must be IPv4`}},
		"public network": {
			func(e *Egress) {
				e.Spec.Network.CIDR, e.Spec.Proxy.PrivateIP = netip.MustParsePrefix("172.32.0.0/22"), netip.MustParseAddr("172.32.0.10")
			},
			[]string{
				`spec.network.cidr: Invalid value: "172.32.0.0/22": must be private: in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16`,
				`spec.proxy.privateIP: Invalid value: "172.32.0.10": must be private: in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16`,
			},
		},
		"network of Scaleway's": {
			func(e *Egress) { e.Spec.Network.CIDR = netip.MustParsePrefix("100.127.0.0/22") },
			[]string{
				`spec.network.cidr: Invalid value: "100.127.0.0/22": must not overlap with 100.64.0.0/10: Scaleway reserves it`,
				`spec.proxy.privateIP: Invalid value: "172.16.0.10": must be in spec.network.cidr, 100.127.0.0/22`,
			},
		},
		"network of Scaleway's Kubernetes": {
			func(e *Egress) { e.Spec.Network.CIDR = netip.MustParsePrefix("198.19.0.0/22") },
			[]string{
				`spec.network.cidr: Invalid value: "198.19.0.0/22": must not overlap with 198.18.0.0/15: Scaleway's Kubernetes reserves it`,
				`spec.proxy.privateIP: Invalid value: "172.16.0.10": must be in spec.network.cidr, 198.19.0.0/22`,
			},
		},
		"network of Services": {
			func(e *Egress) {
				e.Spec.Network.CIDR, e.Spec.Proxy.PrivateIP = netip.MustParsePrefix("10.32.4.0/22"), netip.MustParseAddr("10.32.4.2")
			},
			[]string{
				`spec.network.cidr: Invalid value: "10.32.4.0/22": must not overlap with 10.32.0.0/20, spec.cluster.serviceCIDR`,
				`spec.proxy.privateIP: Invalid value: "10.32.4.2": must not be in 10.32.0.0/20, spec.cluster.serviceCIDR`,
			},
		},
		"network of pods": {
			func(e *Egress) { e.Spec.Cluster.PodCIDR = netip.MustParsePrefix("172.16.0.0/16") },
			[]string{
				`spec.network.cidr: Invalid value: "172.16.0.0/22": must not overlap with 172.16.0.0/16, spec.cluster.podCIDR`,
				`spec.proxy.privateIP: Invalid value: "172.16.0.10": must not be in 172.16.0.0/16, spec.cluster.podCIDR`,
			},
		},
		"network without a cluster": {func(e *Egress) {
			e.Spec.Network.CIDR, e.Spec.Proxy.PrivateIP, e.Spec.Cluster = netip.MustParsePrefix("10.32.4.0/22"), netip.MustParseAddr("10.32.4.2"), nil
		}, nil},

		"no gateway": {
			func(e *Egress) { e.Spec.Gateway.Enabled = new(false) },
			[]string{"spec.gateway.enabled: Invalid value: false: must be true with pools in a new network: their nodes have no public addresses, and reach their control plane by the gateway"},
		},
		"gateway without a route": {
			func(e *Egress) { e.Spec.Gateway.DefaultRoute = new(false) },
			[]string{"spec.gateway.defaultRoute: Invalid value: false: must be true with pools in a new network: their nodes have no public addresses, and reach their control plane by the gateway"},
		},
		"no gateway in an existing network": {
			func(e *Egress) { e.Spec.Gateway.Enabled, e.Spec.Network = new(false), Network{ID: uuid} }, nil,
		},
		"no gateway without pools": {func(e *Egress) { e.Spec.Gateway.Enabled, e.Spec.Cluster = new(false), nil }, nil},
		"gateway in another zone":  {func(e *Egress) { e.Spec.Gateway.Zone = "fr-par-2" }, nil},
		"gateway in another region": {
			func(e *Egress) { e.Spec.Gateway.Zone = "nl-ams-1" },
			[]string{`spec.gateway.zone: Invalid value: "nl-ams-1": must be in the region fr-par, like network and cluster`},
		},
		"gateway of no form": {
			func(e *Egress) { e.Spec.Gateway.Type = "vpc-gw-s" },
			[]string{`spec.gateway.type: Invalid value: "vpc-gw-s": must be a type of Public Gateways, such as VPC-GW-S`},
		},

		"type in lower case": {
			func(e *Egress) { e.Spec.Proxy.Type = "play2-nano" },
			[]string{`spec.proxy.type: Invalid value: "play2-nano": must be in upper case with dashes: write PLAY2-NANO`},
		},
		"type of no form": {func(e *Egress) { e.Spec.Proxy.Type = "a b" }, []string{`spec.proxy.type: Invalid value: "a b": must be a commercial type such as PRO2-XXS`}},
		"image by its ID": {
			func(e *Egress) { e.Spec.Proxy.Image = uuid },
			[]string{`spec.proxy.image: Invalid value: "` + uuid + `": must be the label of a marketplace image, such as debian_trixie`},
		},
		"smallest volume": {func(e *Egress) { e.Spec.Proxy.VolumeGB = 10 }, nil},
		"largest volume":  {func(e *Egress) { e.Spec.Proxy.VolumeGB = 1000 }, nil},
		"small volume":    {func(e *Egress) { e.Spec.Proxy.VolumeGB = 9 }, []string{"spec.proxy.volumeGB: Invalid value: 9: must be between 10 and 1000"}},
		"large volume":    {func(e *Egress) { e.Spec.Proxy.VolumeGB = 1001 }, []string{"spec.proxy.volumeGB: Invalid value: 1001: must be between 10 and 1000"}},
		"no address": {
			func(e *Egress) { e.Spec.Proxy.PrivateIP = netip.Addr{} },
			[]string{"spec.proxy.privateIP: Required value: the address of the proxy in the Private Network"},
		},
		"four machines in two zones": {
			func(e *Egress) {
				e.Spec.Proxy.Replicas, e.Spec.Proxy.Zones, e.Spec.Proxy.PrivateIP = 4, []string{"fr-par-1", "fr-par-2"}, netip.Addr{}
				e.Spec.Proxy.PrivateIPs = addresses("172.16.0.10", "172.16.0.11", "172.16.0.12", "172.16.0.13")
			}, nil,
		},
		"one machine with a list": {
			func(e *Egress) {
				e.Spec.Proxy.PrivateIP, e.Spec.Proxy.PrivateIPs = netip.Addr{}, addresses("172.16.0.10")
			}, nil,
		},
		"more zones than machines": {
			func(e *Egress) { e.Spec.Proxy.Zones = []string{"fr-par-1", "fr-par-2"} },
			[]string{"spec.proxy.zones: Invalid value: 2: must have at most one zone for each machine: spec.proxy.replicas is 1: raise it, or remove fr-par-2"},
		},
		"five machines": {
			func(e *Egress) {
				e.Spec.Proxy.Replicas, e.Spec.Proxy.PrivateIP = 5, netip.Addr{}
				e.Spec.Proxy.PrivateIPs = addresses("172.16.0.10", "172.16.0.11", "172.16.0.12", "172.16.0.13", "172.16.0.14")
			},
			[]string{"spec.proxy.replicas: Invalid value: 5: must be between 1 and 4"},
		},
		"both forms of addresses": {
			func(e *Egress) { e.Spec.Proxy.PrivateIPs = addresses("172.16.0.10") },
			[]string{"spec.proxy.privateIP: Forbidden: spec.proxy.privateIPs has the addresses: remove one of the two"},
		},
		"one address for two machines": {
			func(e *Egress) { e.Spec.Proxy.Replicas = 2 },
			[]string{"spec.proxy.privateIP: Forbidden: is the address of one machine, and spec.proxy.replicas is 2: list the addresses in spec.proxy.privateIPs instead, this one first"},
		},
		"no addresses for two machines": {
			func(e *Egress) { e.Spec.Proxy.Replicas, e.Spec.Proxy.PrivateIP = 2, netip.Addr{} },
			[]string{"spec.proxy.privateIPs: Required value: the addresses of the 2 machines in the Private Network"},
		},
		"everything that can be wrong with machines": {
			func(e *Egress) {
				e.Spec.Proxy.Replicas, e.Spec.Proxy.Zones, e.Spec.Proxy.PrivateIP = 2, []string{"fr-par-2", "paris", "nl-ams-1", "fr-par-2"}, netip.Addr{}
				e.Spec.Proxy.PrivateIPs = addresses("172.16.0.10", "172.16.0.10", "172.16.3.255", "10.32.0.7", "8.8.8.8")
			},
			[]string{
				"spec.proxy.zones: Invalid value: 4: must have at most one zone for each machine: spec.proxy.replicas is 2: raise it, or remove nl-ams-1, fr-par-2",
				`spec.proxy.zones[1]: Invalid value: "paris": must be a zone such as fr-par-1`,
				`spec.proxy.zones[2]: Invalid value: "nl-ams-1": must be in the region fr-par, like network and cluster`,
				`spec.proxy.zones[3]: Duplicate value: "fr-par-2"`,
				"spec.proxy.privateIPs: Invalid value: 5: must have one address for each machine: spec.proxy.replicas is 2",
				`spec.proxy.privateIPs[1]: Duplicate value: "172.16.0.10"`,
				`spec.proxy.privateIPs[2]: Invalid value: "172.16.3.255": must not be one of the first two and the last two addresses of spec.network.cidr, 172.16.0.0/22: Scaleway reserves them`,
				`spec.proxy.privateIPs[3]: Invalid value: "10.32.0.7": must be in spec.network.cidr, 172.16.0.0/22`,
				`spec.proxy.privateIPs[4]: Invalid value: "8.8.8.8": must be private: in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16`,
			},
		},
		"third address": {func(e *Egress) { e.Spec.Proxy.PrivateIP = netip.MustParseAddr("172.16.0.2") }, nil},
		"last but two":  {func(e *Egress) { e.Spec.Proxy.PrivateIP = netip.MustParseAddr("172.16.3.253") }, nil},
		"second address": {
			func(e *Egress) { e.Spec.Proxy.PrivateIP = netip.MustParseAddr("172.16.0.1") },
			[]string{`spec.proxy.privateIP: Invalid value: "172.16.0.1": must not be one of the first two and the last two addresses of spec.network.cidr, 172.16.0.0/22: Scaleway reserves them`},
		},
		"last address but one": {
			func(e *Egress) { e.Spec.Proxy.PrivateIP = netip.MustParseAddr("172.16.3.254") },
			[]string{`spec.proxy.privateIP: Invalid value: "172.16.3.254": must not be one of the first two and the last two addresses of spec.network.cidr, 172.16.0.0/22: Scaleway reserves them`},
		},
		"network address": {
			func(e *Egress) { e.Spec.Proxy.PrivateIP = netip.MustParseAddr("172.16.0.0") },
			[]string{`spec.proxy.privateIP: Invalid value: "172.16.0.0": must not be one of the first two and the last two addresses of spec.network.cidr, 172.16.0.0/22: Scaleway reserves them`},
		},
		"broadcast address": {
			func(e *Egress) { e.Spec.Proxy.PrivateIP = netip.MustParseAddr("172.16.3.255") },
			[]string{`spec.proxy.privateIP: Invalid value: "172.16.3.255": must not be one of the first two and the last two addresses of spec.network.cidr, 172.16.0.0/22: Scaleway reserves them`},
		},
		"address elsewhere": {
			func(e *Egress) { e.Spec.Proxy.PrivateIP = netip.MustParseAddr("172.16.4.0") },
			[]string{`spec.proxy.privateIP: Invalid value: "172.16.4.0": must be in spec.network.cidr, 172.16.0.0/22`},
		},
		"address of IPv6": {
			func(e *Egress) { e.Spec.Proxy.PrivateIP = netip.MustParseAddr("fd00::1") },
			[]string{`spec.proxy.privateIP: Invalid value: "fd00::1": must be private: in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16`},
		},
		"other egress": {
			func(e *Egress) { e.Spec.Proxy.SourceAddress = "gateway" },
			[]string{`spec.proxy.sourceAddress: Unsupported value: "gateway": supported values: "FlexibleIP", "Gateway"`},
		},
		"egress by the gateway": {
			func(e *Egress) { e.Spec.Proxy.SourceAddress = cloudinit.SourceGateway },
			[]string{
				"spec.proxy.sshSources: Forbidden: with spec.proxy.sourceAddress Gateway the proxy accepts no connections on its public address: remove it",
				`spec.tenants[1].proxy.egressIP: Invalid value: "Dedicated": must be Shared with spec.proxy.sourceAddress Gateway: all requests leave by the address of the gateway`,
			},
		},
		"egress by the gateway, as it should be": {
			func(e *Egress) {
				e.Spec.Proxy.SourceAddress, e.Spec.Proxy.SSHSources, e.Spec.Tenants[1].Proxy.EgressIP = cloudinit.SourceGateway, nil, v1alpha1.EgressIPShared
				e.Spec.Proxy.NameServers = addresses("172.16.0.2")
			}, nil,
		},
		"egress by no gateway": {
			func(e *Egress) {
				e.Spec.Proxy.SourceAddress, e.Spec.Proxy.SSHSources, e.Spec.Tenants, e.Spec.Cluster = cloudinit.SourceGateway, nil, nil, nil
				e.Spec.Gateway.Masquerade = new(false)
			},
			[]string{"spec.gateway.masquerade: Invalid value: false: must be true with spec.proxy.sourceAddress Gateway: requests leave by the gateway"},
		},

		"no resolvers": {
			func(e *Egress) {
				e.Spec.Proxy.NameServers, e.Spec.Proxy.Zones = nil, []string{"fr-par-9", "fr-par-2"}
				e.Spec.Proxy.Replicas, e.Spec.Proxy.PrivateIP, e.Spec.Proxy.PrivateIPs = 3, netip.Addr{}, addresses("172.16.0.10", "172.16.0.11", "172.16.0.12")
			},
			[]string{"spec.proxy.nameServers: Required value: Scaleway documents no public resolvers in fr-par-9: list the IPv4 addresses of name servers"},
		},
		"many resolvers": {
			func(e *Egress) {
				e.Spec.Proxy.NameServers = addresses("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
			},
			[]string{"spec.proxy.nameServers: Too many: 4: must have at most 3 items"},
		},
		"resolvers of all sorts": {
			func(e *Egress) {
				e.Spec.Proxy.NameServers = []netip.Addr{{}, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("127.0.0.53")}
			},
			[]string{
				`spec.proxy.nameServers[0]: Required value: an IPv4 address`,
				`spec.proxy.nameServers[1]: Invalid value: "2001:db8::1": must be an IPv4 address`,
				`spec.proxy.nameServers[2]: Invalid value: "127.0.0.53": must be the address of one machine, neither loopback nor link-local`,
			},
		},
		"resolvers that are not reached": {
			func(e *Egress) { e.Spec.Proxy.NameServers = addresses("169.254.169.254", "10.0.0.1", "100.64.0.10") },
			[]string{
				`spec.proxy.nameServers[0]: Invalid value: "169.254.169.254": must be the address of one machine, neither loopback nor link-local`,
				`spec.proxy.nameServers[1]: Invalid value: "10.0.0.1": must be public with source address FlexibleIP: queries are sent from the flexible IP, which cannot reach private addresses`,
				`spec.proxy.nameServers[2]: Invalid value: "100.64.0.10": must be public with source address FlexibleIP: queries are sent from the flexible IP, which cannot reach private addresses`,
			},
		},
		"a proof that does not exist": {
			func(e *Egress) { e.Spec.Proxy.Identity = "Certificate" },
			[]string{`spec.proxy.identity: Unsupported value: "Certificate": supported values: "Port", "Offered", "Required"`},
		},
		"an authority for no purpose": {
			func(e *Egress) { e.Spec.Proxy.Identity = cloudinit.IdentityPort },
			[]string{
				"spec.proxy.authority: Forbidden: with spec.proxy.identity Port the proxy verifies no certificates: remove it",
				"spec.tenants[0].sidecar: Forbidden: with spec.proxy.identity Port the proxy serves no sidecars: remove it, or set the identity to Offered or Required",
			},
		},
		"the key of the authority": {
			func(e *Egress) {
				e.Spec.Proxy.Authority += "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"
			},
			[]string{`spec.proxy.authority: Invalid value: must contain only certificates, contains "EC PRIVATE KEY": secrets must not be in user data`},
		},
		"no authority": {
			func(e *Egress) { e.Spec.Proxy.Authority = "" }, nil,
		},
		"an unknown authority of an unknown cluster": {
			func(e *Egress) {
				e.Spec.Proxy.Authority, e.Spec.Proxy.Identity = "", cloudinit.IdentityRequired
				e.Spec.Tenants = withSidecars(e.Spec.Tenants)
				e.Spec.Cluster = &Cluster{CIDRs: prefixes("10.244.0.0/16")}
			},
			[]string{"spec.proxy.authority: Required value: bootstrap does not know the cluster: copy the certificates from the ConfigMap egress-sidecar-ca of the chart"},
		},
		"two ports for too many": {
			func(e *Egress) { e.Spec.Tenants = manyTenants(64) },
			[]string{`spec.proxy.identity: Invalid value: "Offered": must be Port or Required with 64 tenants on the proxy: Offered takes two of its ports for each, which suffice for 63`},
		},
		"two ports for as many as fit": {func(e *Egress) { e.Spec.Tenants = manyTenants(63) }, nil},
		"one port for more": {
			func(e *Egress) {
				e.Spec.Proxy.Identity, e.Spec.Tenants = cloudinit.IdentityRequired, withSidecars(manyTenants(64))
			}, nil,
		},
		"no proof": {
			func(e *Egress) { e.Spec.Proxy.Identity = cloudinit.IdentityRequired },
			[]string{
				"spec.tenants[1].sidecar: Required value: with spec.proxy.identity Required the proxy refuses requests without a certificate: write sidecar: {}",
				"spec.tenants[2].sidecar: Required value: with spec.proxy.identity Required the proxy refuses requests without a certificate: write sidecar: {}",
			},
		},

		"resolver twice": {
			func(e *Egress) { e.Spec.Proxy.NameServers = addresses("192.0.2.1", "192.0.2.1") },
			[]string{`spec.proxy.nameServers[1]: Duplicate value: "192.0.2.1"`},
		},

		"SSH for no network": {func(e *Egress) { e.Spec.Proxy.SSHSources = nil }, nil},
		"SSH from all sorts": {
			func(e *Egress) {
				e.Spec.Proxy.SSHSources = prefixes("0.0.0.0/0", "::/0", "203.0.113.0/24", "203.0.113.0/24")
			},
			[]string{
				`spec.proxy.sshSources[0]: Invalid value: "0.0.0.0/0": must not be all addresses: SSH access gives full control of the proxy; list the networks of your administrators`,
				`spec.proxy.sshSources[1]: Invalid value: "::/0": must be IPv4`,
				`spec.proxy.sshSources[3]: Duplicate value: "203.0.113.0/24"`,
			},
		},

		"no cluster":       {func(e *Egress) { e.Spec.Cluster = nil }, nil},
		"existing cluster": {func(e *Egress) { e.Spec.Cluster = &Cluster{ID: uuid, Pools: e.Spec.Cluster.Pools} }, nil},
		"existing cluster without pools": {
			func(e *Egress) { e.Spec.Cluster = &Cluster{ID: uuid} }, nil,
		},
		"existing cluster with a region": {
			func(e *Egress) { e.Spec.Cluster = &Cluster{ID: "fr-par/" + uuid} },
			[]string{`spec.cluster.id: Invalid value: "fr-par/` + uuid + `": ` + id},
		},
		"existing cluster with everything": {
			func(e *Egress) {
				e.Spec.Cluster.ID, e.Spec.Cluster.CIDRs, e.Spec.Cluster.Version = uuid, prefixes("10.96.0.0/12"), "1.99"
			},
			[]string{
				"spec.cluster.cidrs: " + existing, "spec.cluster.version: " + existing, "spec.cluster.cni: " + existing, "spec.cluster.podCIDR: " + existing,
				"spec.cluster.serviceCIDR: " + existing, "spec.cluster.acl: " + existing, "spec.cluster.autoUpgrade: " + existing, "spec.cluster.autoscaler: " + existing,
			},
		},
		"unmanaged cluster": {func(e *Egress) {
			e.Spec.Cluster = &Cluster{CIDRs: prefixes("10.244.0.0/16", "10.96.0.0/12", "fd00::/64")}
		}, nil},
		"unmanaged cluster with everything": {
			func(e *Egress) { e.Spec.Cluster.CIDRs, e.Spec.Cluster.Version = prefixes("10.96.0.0/12"), "1.99" },
			[]string{
				"spec.cluster.version: " + elsewhere, "spec.cluster.cni: " + elsewhere, "spec.cluster.podCIDR: " + elsewhere,
				"spec.cluster.serviceCIDR: " + elsewhere, "spec.cluster.acl: " + elsewhere, "spec.cluster.autoUpgrade: " + elsewhere, "spec.cluster.autoscaler: " + elsewhere,
				"spec.cluster.pools: " + elsewhere,
			},
		},
		"unmanaged cluster with all sorts": {
			func(e *Egress) {
				e.Spec.Cluster = &Cluster{CIDRs: prefixes("10.96.0.0/12", "::/0", "10.0.0.0/16", "10.0.0.0/16", "172.16.0.0/24")}
			},
			[]string{
				`spec.network.cidr: Invalid value: "172.16.0.0/22": must not overlap with 172.16.0.0/24, spec.cluster.cidrs[4]`,
				`spec.proxy.privateIP: Invalid value: "172.16.0.10": must not be in 172.16.0.0/24, spec.cluster.cidrs[4]`,
				`spec.cluster.cidrs[1]: Invalid value: "::/0": must not be all addresses: no request would use the proxy`,
				`spec.cluster.cidrs[3]: Duplicate value: "10.0.0.0/16"`,
			},
		},

		"newest version": {func(e *Egress) { e.Spec.Cluster.Version = "" }, nil},
		"minor version":  {func(e *Egress) { e.Spec.Cluster.Version = "1.99" }, nil},
		"exact version":  {func(e *Egress) { e.Spec.Cluster.Version = "1.99.1" }, nil},
		"version with a v": {
			func(e *Egress) { e.Spec.Cluster.Version = "v1.99.1" },
			[]string{`spec.cluster.version: Invalid value: "v1.99.1": must have no v before it: write "1.99.1"`},
		},
		"version of no form": {
			func(e *Egress) { e.Spec.Cluster.Version = "latest" },
			[]string{`spec.cluster.version: Invalid value: "latest": must be a version of Kubernetes, X.Y.Z, or X.Y for its newest patch; leave it out for the newest version`},
		},
		"own CNI": {func(e *Egress) { e.Spec.Cluster.CNI = "none" }, nil},
		"other CNI": {
			func(e *Egress) { e.Spec.Cluster.CNI = "flannel" },
			[]string{`spec.cluster.cni: Unsupported value: "flannel": supported values: "cilium", "cilium_native", "calico", "none"`},
		},
		"public pods": {
			func(e *Egress) { e.Spec.Cluster.PodCIDR = netip.MustParsePrefix("8.0.0.0/8") },
			[]string{`spec.cluster.podCIDR: Invalid value: "8.0.0.0/8": must be private: in 10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12 or 192.168.0.0/16`},
		},
		"Services among pods": {
			func(e *Egress) { e.Spec.Cluster.ServiceCIDR = netip.MustParsePrefix("100.64.0.0/20") },
			[]string{`spec.cluster.serviceCIDR: Invalid value: "100.64.0.0/20": must not overlap with 100.64.0.0/15, spec.cluster.podCIDR`},
		},
		"ACL for all": {func(e *Egress) { e.Spec.Cluster.ACL = prefixes("0.0.0.0/0") }, nil},
		"ACL for all sorts": {
			func(e *Egress) {
				e.Spec.Cluster.ACL = prefixes("2001:db8::/32", "198.51.100.0/24", "198.51.100.0/24")
			},
			[]string{
				`spec.cluster.acl[0]: Invalid value: "2001:db8::/32": must be IPv4`,
				`spec.cluster.acl[2]: Duplicate value: "198.51.100.0/24"`,
			},
		},
		"upgrades at no time": {
			func(e *Egress) { e.Spec.Cluster.AutoUpgrade = &AutoUpgrade{Day: "Sunday", StartHour: 24} },
			[]string{
				`spec.cluster.autoUpgrade.day: Unsupported value: "Sunday": supported values: "any", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"`,
				"spec.cluster.autoUpgrade.startHour: Invalid value: 24: must be between 0 and 23",
			},
		},
		"autoscaler of all sorts": {
			func(e *Egress) {
				e.Spec.Cluster.Autoscaler = &Autoscaler{Expander: "most-pods", ScaleDownDelayAfterAdd: "10", ScaleDownUnneededTime: "-1m"}
			},
			[]string{
				`spec.cluster.autoscaler.expander: Unsupported value: "most-pods": supported values: "random", "most_pods", "least_waste", "priority", "price"`,
				`spec.cluster.autoscaler.scaleDownDelayAfterAdd: Invalid value: "10": must be a duration such as 10m or 1h30m`,
				`spec.cluster.autoscaler.scaleDownUnneededTime: Invalid value: "-1m": must be a duration such as 10m or 1h30m`,
			},
		},
		"empty autoscaler": {func(e *Egress) { e.Spec.Cluster.Autoscaler = &Autoscaler{}; e.SetDefaults() }, nil},

		"no pools": {func(e *Egress) { e.Spec.Cluster.Pools = nil }, []string{"spec.cluster.pools: Required value: at least one, for the pods of the cluster itself; or set spec.cluster.id for an existing cluster, or spec.cluster.cidrs for an unmanaged one"}},
		"no pool for all": {
			func(e *Egress) {
				e.Spec.Cluster.Pools[0].Taints = []Taint{{Key: "a", Effect: "NoExecute"}}
			},
			[]string{"spec.cluster.pools: Invalid value: 2: must have one without tenant and without taints NoSchedule and NoExecute: the pods of the cluster itself (DNS, for example) and the webhook run there"},
		},
		"pool without a name": {func(e *Egress) { e.Spec.Cluster.Pools[0].Name = "" }, []string{"spec.cluster.pools[0].name: Required value: a DNS label, such as client-a"}},
		"pool twice":          {func(e *Egress) { e.Spec.Cluster.Pools[1].Name = "system" }, []string{`spec.cluster.pools[1].name: Duplicate value: "system"`}},
		"pool with a bad name": {
			func(e *Egress) { e.Spec.Cluster.Pools[1].Name = "A" },
			[]string{`spec.cluster.pools[1].name: Invalid value: "A": ` + label},
		},
		"pool for an unknown tenant": {
			func(e *Egress) { e.Spec.Cluster.Pools[1].Tenant = "client-x" },
			[]string{`spec.cluster.pools[1].tenant: Invalid value: "client-x": must be the name of one of spec.tenants`},
		},
		"pool without a type": {func(e *Egress) { e.Spec.Cluster.Pools[0].NodeType = "" }, []string{"spec.cluster.pools[0].nodeType: Required value: a commercial type such as PRO2-XXS"}},
		"pool in another zone": {
			func(e *Egress) { e.Spec.Cluster.Pools[0].Zone = "fr-par-2" }, nil,
		},
		"pool in another region": {
			func(e *Egress) { e.Spec.Cluster.Pools[0].Zone = "nl-ams-1" },
			[]string{`spec.cluster.pools[0].zone: Invalid value: "nl-ams-1": must be in the region fr-par, like network and cluster`},
		},
		"pool without nodes": {func(e *Egress) { e.Spec.Cluster.Pools[0].Size = -1 }, []string{"spec.cluster.pools[0].size: Invalid value: -1: must be at least 1"}},
		"pool that is below its bounds": {
			func(e *Egress) { e.Spec.Cluster.Pools[1].Autoscaling = &Autoscaling{Min: 2, Max: 5} },
			[]string{"spec.cluster.pools[1].size: Invalid value: 1: must be between min and max of autoscaling, 2 and 5"},
		},
		"pool that is above its bounds": {
			func(e *Egress) { e.Spec.Cluster.Pools[1].Size = 6 },
			[]string{"spec.cluster.pools[1].size: Invalid value: 6: must be between min and max of autoscaling, 1 and 5"},
		},
		"pool with negative bounds": {
			func(e *Egress) { e.Spec.Cluster.Pools[1].Autoscaling.Min = -1 },
			[]string{"spec.cluster.pools[1].autoscaling.min: Invalid value: -1: must be at least 0"},
		},
		"pool with bounds that cross": {
			func(e *Egress) { e.Spec.Cluster.Pools[1].Autoscaling = &Autoscaling{Min: 3, Max: 2} },
			[]string{"spec.cluster.pools[1].autoscaling.max: Invalid value: 2: must be at least 1, and at least min"},
		},
		"pool that stays empty": {
			func(e *Egress) { e.Spec.Cluster.Pools[1].Autoscaling = &Autoscaling{} },
			[]string{"spec.cluster.pools[1].autoscaling.max: Invalid value: 0: must be at least 1, and at least min"},
		},
		"pool with small volumes":       {func(e *Egress) { e.Spec.Cluster.Pools[0].VolumeGB = 19 }, []string{"spec.cluster.pools[0].volumeGB: Invalid value: 19: must be between 20 and 10000"}},
		"pool with the largest volumes": {func(e *Egress) { e.Spec.Cluster.Pools[0].VolumeGB = 10000 }, nil},
		"pool with volumes that are too large": {
			func(e *Egress) { e.Spec.Cluster.Pools[0].VolumeGB = 10001 },
			[]string{"spec.cluster.pools[0].volumeGB: Invalid value: 10001: must be between 20 and 10000"},
		},
		"pool with labels of all sorts": {
			func(e *Egress) {
				e.Spec.Cluster.Pools[0].Labels = map[string]string{"a b": "", "b": "c d", names.LabelTenant: "client-a", "e": ""}
			},
			[]string{
				`spec.cluster.pools[0].labels[a b]: Invalid value: "a b": ` + key,
				`spec.cluster.pools[0].labels[b]: Invalid value: "c d": ` + value,
				"spec.cluster.pools[0].labels[egress.scw/tenant]: Forbidden: is set by the field tenant of the pool: set that, and remove this",
			},
		},
		"pool with taints of all sorts": {
			func(e *Egress) {
				e.Spec.Cluster.Pools[1].Taints = []Taint{
					{Key: "a", Effect: "NoSchedule"},
					{Key: "a", Value: "b", Effect: "NoSchedule"},
					{Key: "a", Effect: "NoExecute"},
					{Key: "", Value: "x y", Effect: ""},
					{Key: names.LabelTenant, Effect: "NoExecute"},
				}
			},
			[]string{
				`spec.cluster.pools[1].taints[1]: Duplicate value: "a:NoSchedule"`,
				"spec.cluster.pools[1].taints[3].key: Required value: the key of a taint, such as example.com/dedicated",
				`spec.cluster.pools[1].taints[3].value: Invalid value: "x y": ` + value,
				`spec.cluster.pools[1].taints[3].effect: Unsupported value: "": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"`,
				"spec.cluster.pools[1].taints[4].key: Forbidden: is set by the field tenant of the pool: set that, and remove this",
			},
		},

		"registry of no form": {func(e *Egress) { e.Spec.Registry.Name = "A" }, []string{`spec.registry.name: Invalid value: "A": ` + label}},
		"no registry":         {func(e *Egress) { e.Spec.Registry = nil }, nil},

		"one output": {
			func(e *Egress) { e.Spec.Outputs.Values = "./kubeconfig.yaml" },
			[]string{`spec.outputs.values: Invalid value: "./kubeconfig.yaml": must be another file than spec.outputs.kubeconfig`},
		},
		"path of a shell": {
			func(e *Egress) {
				e.Spec.Outputs.Values, e.Spec.Outputs.Kubeconfig = "$HOME/values.yaml", "~/.kube/config"
			},
			[]string{
				`spec.outputs.kubeconfig: Invalid value: "~/.kube/config": must not begin with ~ or $, which only shells replace: write the whole path, or one from the folder of egress.yaml on`,
				`spec.outputs.values: Invalid value: "$HOME/values.yaml": must not begin with ~ or $, which only shells replace: write the whole path, or one from the folder of egress.yaml on`,
			},
		},
		"folder for an output": {
			func(e *Egress) { e.Spec.Outputs.Values, e.Spec.Outputs.Kubeconfig = "out/", "out/.." },
			[]string{`spec.outputs.kubeconfig: Invalid value: "out/..": must be the path of a file`, `spec.outputs.values: Invalid value: "out/": must be the path of a file`},
		},

		"five addresses": {
			func(e *Egress) {
				e.Spec.Cluster, e.Spec.Tenants = nil, nil
				for i := range int32(5) {
					tenant := v1alpha1.Tenant{Name: fmt.Sprintf("t%d", i)}
					tenant.Proxy = &v1alpha1.TenantProxy{Port: names.TenantPortMin + i, EgressIP: v1alpha1.EgressIPDedicated}
					e.Spec.Tenants = append(e.Spec.Tenants, tenant)
				}
			},
			[]string{`spec.tenants[4].proxy.egressIP: Invalid value: "Dedicated": must be Shared: a proxy has dedicated addresses for at most 4 tenants`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			egress := whole(t)
			test.change(egress)
			var got []string
			for _, err := range egress.Validate() {
				got = append(got, err.Error())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("wrong (-want +got):\n%s", diff)
			}
		})
	}
}

// clone returns an independent copy of a part of egress.yaml.
func clone[T any](t *testing.T, value *T) *T {
	t.Helper()
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	result := new(T)
	if err := json.Unmarshal(encoded, result); err != nil {
		t.Fatal(err)
	}
	return result
}

// manyTenants are tenants with a port each.
func manyTenants(count int32) []v1alpha1.Tenant {
	tenants := []v1alpha1.Tenant{{Name: "client-a", EgressTenantSpec: v1alpha1.EgressTenantSpec{Proxy: &v1alpha1.TenantProxy{Port: names.TenantPortMin}}}} // has a pool
	for i := range count - 1 {
		tenants = append(tenants, v1alpha1.Tenant{
			Name: fmt.Sprintf("client-%d", i), EgressTenantSpec: v1alpha1.EgressTenantSpec{Proxy: &v1alpha1.TenantProxy{Port: names.TenantPortMin + 1 + i}},
		})
	}
	return tenants
}

// withSidecars returns the tenants, those on the proxy with sidecars.
func withSidecars(tenants []v1alpha1.Tenant) []v1alpha1.Tenant {
	tenants = slices.Clone(tenants)
	for i := range tenants {
		if tenants[i].IsProxied() {
			tenants[i].Sidecar = &v1alpha1.Sidecar{}
		}
	}
	return tenants
}
