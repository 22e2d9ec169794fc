package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/cloudinit"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// whole is a valid Egress with defaults that uses most fields.
func whole(tb testing.TB) *Egress {
	tb.Helper()
	egress, err := LoadEgress(exampleFile, readExample(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return egress
}

func TestSetDefaultsTwice(t *testing.T) {
	t.Parallel()
	autoscaled := func(least int32) *Egress {
		return &Egress{Zone: "nl-ams-2", Cluster: &ClusterConfig{Pools: []PoolConfig{{Autoscaling: &AutoscalingConfig{Min: least, Max: 5}}}}}
	}
	for name, egress := range map[string]*Egress{
		"nothing":       {},
		"zone":          {Zone: "fr-par-2"},
		"broken zone":   {Zone: "-"},
		"whole":         whole(t),
		"given cluster": {Cluster: &ClusterConfig{ID: "x", Pools: []PoolConfig{{}}}},
		"other cluster": {Cluster: &ClusterConfig{CIDRs: []string{"x"}}},
		"autoscaled":    autoscaled(2),
	} {
		egress.SetDefaults()
		once := clone(t, egress)
		egress.SetDefaults()
		if diff := cmp.Diff(once, egress); diff != "" {
			t.Errorf("%s: changed by the second call:\n%s", name, diff)
		}
	}

	for want, egress := range map[int32]*Egress{1: autoscaled(0), 3: autoscaled(3)} {
		if egress.SetDefaults(); egress.Cluster.Pools[0].Size != want {
			t.Errorf("size is %d, want %d", egress.Cluster.Pools[0].Size, want)
		}
	}
	for _, cluster := range []ClusterConfig{{ID: "x"}, {CIDRs: []string{"x"}}} {
		egress := Egress{Cluster: clone(t, &cluster)}
		if egress.SetDefaults(); !cmp.Equal(*egress.Cluster, cluster) {
			t.Errorf("a cluster that is not created got defaults: %+v", egress.Cluster)
		}
	}
}

func TestSetDefaultsKeeps(t *testing.T) {
	t.Parallel()
	egress := &Egress{
		Region: "nl-ams", Zone: "fr-par-1",
		Gateway: GatewayConfig{Enabled: new(false), Type: "A", Masquerade: new(false), DefaultRoute: new(false)},
		Proxy:   ProxyConfig{Type: "B", Image: "c", VolumeGB: 1, Egress: cloudinit.SourceGateway, NameServers: []string{"d"}},
		Cluster: &ClusterConfig{
			CNI: "e", PodCIDR: "f", ServiceCIDR: "g",
			Pools: []PoolConfig{{Zone: "h", Size: 7, VolumeGB: 8, Autohealing: new(false)}},
		},
		Outputs: OutputsConfig{Kubeconfig: "i", Values: "j", HideKubeconfig: new(false)},
	}
	want := clone(t, egress)
	if egress.SetDefaults(); !cmp.Equal(want, egress) {
		t.Errorf("changed what was set:\n%s", cmp.Diff(want, egress))
	}
}

func TestEveryZoneOfTheRegionsHasResolvers(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, region := range []string{"fr-par", "nl-ams", "pl-waw"} {
		for i := range 3 {
			zone := fmt.Sprintf("%s-%d", region, i+1)
			servers := publicResolvers(zone)
			for _, server := range servers {
				if problem := nameServerProblem(server, cloudinit.SourceFlexibleIP); problem != "" || seen[server] {
					t.Errorf("%s: %s is there twice, or %s", zone, server, problem)
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
	const existing = "Forbidden: belongs to clusters that are created, not to an existing one (cluster.id): remove it"
	const elsewhere = "Forbidden: belongs to clusters that bootstrap creates or is given, not to one elsewhere (cluster.cidrs): remove it"
	const uuid = "22222222-3333-4444-5555-666666666666"

	for name, test := range map[string]struct {
		change func(*Egress)
		want   []string
	}{
		"as it is": {func(*Egress) {}, nil},

		"no name":      {func(e *Egress) { e.Name = "" }, []string{"name: Required value: a DNS label, such as client-a"}},
		"longest name": {func(e *Egress) { e.Name = strings.Repeat("a", 32) }, nil},
		"long name":    {func(e *Egress) { e.Name = strings.Repeat("a", 33) }, []string{"name: Too long: may not be more than 32 bytes"}},
		"name of dots": {func(e *Egress) { e.Name = "a.b" }, []string{`name: Invalid value: "a.b": must not contain dots`}},

		"no project":        {func(e *Egress) { e.Project = "" }, nil},
		"name of a project": {func(e *Egress) { e.Project = "default" }, []string{`project: Invalid value: "default": ` + id}},
		"project in capitals": {
			func(e *Egress) { e.Project = "AAAAAAAA-2222-3333-4444-555555555555" },
			[]string{`project: Invalid value: "AAAAAAAA-2222-3333-4444-555555555555": ` + id},
		},

		"no zone":         {func(e *Egress) { e.Zone, e.Region = "", "" }, []string{"zone: Required value: a zone such as fr-par-1"}},
		"zone of no form": {func(e *Egress) { e.Zone = "par1" }, []string{`zone: Invalid value: "par1": must be a zone such as fr-par-1`}},
		"zone elsewhere":  {func(e *Egress) { e.Zone = "nl-ams-1" }, []string{`zone: Invalid value: "nl-ams-1": must be in the region fr-par, which network and cluster are in`}},
		"region of no form": {
			func(e *Egress) { e.Region = "fr-par-1" },
			[]string{`region: Invalid value: "fr-par-1": must be a region such as fr-par`},
		},

		"no network":       {func(e *Egress) { e.Network = NetworkConfig{} }, []string{"network: Required value: id of a Private Network, or cidr of one to create"}},
		"existing network": {func(e *Egress) { e.Network = NetworkConfig{ID: uuid} }, nil},
		"both networks":    {func(e *Egress) { e.Network.ID = uuid }, []string{"network.cidr: Forbidden: an existing network (network.id) has its CIDR: remove one of the two"}},
		"network with a region": {
			func(e *Egress) { e.Network = NetworkConfig{ID: "fr-par/" + uuid} },
			[]string{`network.id: Invalid value: "fr-par/` + uuid + `": ` + id},
		},
		"smallest network": {func(e *Egress) { e.Network.CIDR = "172.16.0.0/28" }, nil},
		"largest network":  {func(e *Egress) { e.Network.CIDR = "172.16.0.0/20" }, nil},
		"network too small": {
			func(e *Egress) { e.Network.CIDR = "172.16.0.8/29" },
			[]string{`network.cidr: Invalid value: "172.16.0.8/29": must be between /20 and /28`},
		},
		"network too large": {
			func(e *Egress) { e.Network.CIDR = "172.16.0.0/19" },
			[]string{`network.cidr: Invalid value: "172.16.0.0/19": must be between /20 and /28`},
		},
		"network with host bits": {
			func(e *Egress) { e.Network.CIDR = "172.16.0.10/22" },
			[]string{`network.cidr: Invalid value: "172.16.0.10/22": must have no host bits: write 172.16.0.0/22`},
		},
		"network of one address": {
			func(e *Egress) { e.Network.CIDR = "172.16.0.10" },
			[]string{`network.cidr: Invalid value: "172.16.0.10": must be a CIDR: for this one address write 172.16.0.10/32`},
		},
		"network of no form": {func(e *Egress) { e.Network.CIDR = "a" }, []string{`network.cidr: Invalid value: "a": must be a CIDR such as 192.0.2.0/24`}},
		"network of IPv6":    {func(e *Egress) { e.Network.CIDR = "fd00::/64" }, []string{`network.cidr: Invalid value: "fd00::/64": must be IPv4`}},
		"network of IPv4 in IPv6": {
			func(e *Egress) { e.Network.CIDR = "::ffff:172.16.0.0/118" },
			[]string{`network.cidr: Invalid value: "::ffff:172.16.0.0/118": must be written as the IPv4 range that it is`},
		},
		"public network": {
			func(e *Egress) { e.Network.CIDR, e.Proxy.PrivateIP = "172.32.0.0/22", "172.32.0.10" },
			[]string{
				`network.cidr: Invalid value: "172.32.0.0/22": must be private: in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16`,
				`proxy.privateIP: Invalid value: "172.32.0.10": must be private: in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16`,
			},
		},
		"network of Scaleway's": {
			func(e *Egress) { e.Network.CIDR = "100.127.0.0/22" },
			[]string{
				`network.cidr: Invalid value: "100.127.0.0/22": must not overlap with 100.64.0.0/10: Scaleway keeps it for itself`,
				`proxy.privateIP: Invalid value: "172.16.0.10": must be in network.cidr, 100.127.0.0/22`,
			},
		},
		"network of Scaleway's Kubernetes": {
			func(e *Egress) { e.Network.CIDR = "198.19.0.0/22" },
			[]string{
				`network.cidr: Invalid value: "198.19.0.0/22": must not overlap with 198.18.0.0/15: Scaleway's Kubernetes keeps it for itself`,
				`proxy.privateIP: Invalid value: "172.16.0.10": must be in network.cidr, 198.19.0.0/22`,
			},
		},
		"network of Services": {
			func(e *Egress) { e.Network.CIDR, e.Proxy.PrivateIP = "10.32.4.0/22", "10.32.4.1" },
			[]string{
				`network.cidr: Invalid value: "10.32.4.0/22": must not overlap with 10.32.0.0/20, cluster.serviceCIDR`,
				`proxy.privateIP: Invalid value: "10.32.4.1": must not be in 10.32.0.0/20, cluster.serviceCIDR`,
			},
		},
		"network of pods": {
			func(e *Egress) { e.Cluster.PodCIDR = "172.16.0.0/16" },
			[]string{
				`network.cidr: Invalid value: "172.16.0.0/22": must not overlap with 172.16.0.0/16, cluster.podCIDR`,
				`proxy.privateIP: Invalid value: "172.16.0.10": must not be in 172.16.0.0/16, cluster.podCIDR`,
			},
		},
		"network without a cluster": {func(e *Egress) { e.Network.CIDR, e.Proxy.PrivateIP, e.Cluster = "10.32.4.0/22", "10.32.4.1", nil }, nil},

		"no gateway": {
			func(e *Egress) { e.Gateway.Enabled = new(false) },
			[]string{"gateway.enabled: Invalid value: false: must be true with pools in a new network: their nodes have no public addresses, and reach their control plane that way"},
		},
		"gateway without a route": {
			func(e *Egress) { e.Gateway.DefaultRoute = new(false) },
			[]string{"gateway.defaultRoute: Invalid value: false: must be true with pools in a new network: their nodes have no public addresses, and reach their control plane that way"},
		},
		"no gateway in an existing network": {
			func(e *Egress) { e.Gateway.Enabled, e.Network = new(false), NetworkConfig{ID: uuid} }, nil,
		},
		"no gateway without pools": {func(e *Egress) { e.Gateway.Enabled, e.Cluster = new(false), nil }, nil},
		"gateway of no form": {
			func(e *Egress) { e.Gateway.Type = "vpc-gw-s" },
			[]string{`gateway.type: Invalid value: "vpc-gw-s": must be a type of Public Gateways, such as VPC-GW-S`},
		},

		"type in lower case": {
			func(e *Egress) { e.Proxy.Type = "play2-nano" },
			[]string{`proxy.type: Invalid value: "play2-nano": must be in upper case with dashes: write PLAY2-NANO`},
		},
		"type of no form": {func(e *Egress) { e.Proxy.Type = "a b" }, []string{`proxy.type: Invalid value: "a b": must be a commercial type such as PRO2-XXS`}},
		"image by its ID": {
			func(e *Egress) { e.Proxy.Image = uuid },
			[]string{`proxy.image: Invalid value: "` + uuid + `": must be the label of a marketplace image, such as debian_bookworm`},
		},
		"smallest volume": {func(e *Egress) { e.Proxy.VolumeGB = 10 }, nil},
		"largest volume":  {func(e *Egress) { e.Proxy.VolumeGB = 1000 }, nil},
		"small volume":    {func(e *Egress) { e.Proxy.VolumeGB = 9 }, []string{"proxy.volumeGB: Invalid value: 9: must be between 10 and 1000"}},
		"large volume":    {func(e *Egress) { e.Proxy.VolumeGB = 1001 }, []string{"proxy.volumeGB: Invalid value: 1001: must be between 10 and 1000"}},
		"no address": {
			func(e *Egress) { e.Proxy.PrivateIP = "" },
			[]string{"proxy.privateIP: Required value: the address that the proxy is to have in the Private Network"},
		},
		"first address": {func(e *Egress) { e.Proxy.PrivateIP = "172.16.0.1" }, nil},
		"last address":  {func(e *Egress) { e.Proxy.PrivateIP = "172.16.3.254" }, nil},
		"network address": {
			func(e *Egress) { e.Proxy.PrivateIP = "172.16.0.0" },
			[]string{`proxy.privateIP: Invalid value: "172.16.0.0": must be a machine's: it is the address of network.cidr itself`},
		},
		"broadcast address": {
			func(e *Egress) { e.Proxy.PrivateIP = "172.16.3.255" },
			[]string{`proxy.privateIP: Invalid value: "172.16.3.255": must be a machine's: it is the broadcast address of network.cidr`},
		},
		"address elsewhere": {
			func(e *Egress) { e.Proxy.PrivateIP = "172.16.4.0" },
			[]string{`proxy.privateIP: Invalid value: "172.16.4.0": must be in network.cidr, 172.16.0.0/22`},
		},
		"address with a mask": {
			func(e *Egress) { e.Proxy.PrivateIP = "172.16.0.10/22" },
			[]string{`proxy.privateIP: Invalid value: "172.16.0.10/22": must be an IPv4 address such as 172.16.0.10`},
		},
		"address of IPv6": {
			func(e *Egress) { e.Proxy.PrivateIP = "fd00::1" },
			[]string{`proxy.privateIP: Invalid value: "fd00::1": must be an IPv4 address such as 172.16.0.10`},
		},
		"other egress": {
			func(e *Egress) { e.Proxy.Egress = "gateway" },
			[]string{`proxy.egress: Unsupported value: "gateway": supported values: "FlexibleIP", "Gateway"`},
		},
		"egress by the gateway": {
			func(e *Egress) { e.Proxy.Egress = cloudinit.SourceGateway },
			[]string{
				"proxy.sshSources: Forbidden: with proxy.egress Gateway the proxy answers nothing by its public address: remove it",
				`tenants[1].proxy.egressIP: Invalid value: "Dedicated": must be Shared with proxy.egress Gateway: all requests leave by the gateway's address`,
			},
		},
		"egress by the gateway, as it should be": {
			func(e *Egress) {
				e.Proxy.Egress, e.Proxy.SSHSources, e.Tenants[1].Proxy.EgressIP = cloudinit.SourceGateway, nil, v1alpha1.EgressIPShared
				e.Proxy.NameServers = []string{"172.16.0.2"}
			}, nil,
		},
		"egress by no gateway": {
			func(e *Egress) {
				e.Proxy.Egress, e.Proxy.SSHSources, e.Tenants, e.Cluster = cloudinit.SourceGateway, nil, nil, nil
				e.Gateway.Masquerade = new(false)
			},
			[]string{"gateway.masquerade: Invalid value: false: must be true with proxy.egress Gateway: requests leave that way"},
		},

		"no resolvers": {
			func(e *Egress) { e.Proxy.NameServers = nil },
			[]string{"proxy.nameServers: Required value: Scaleway documents no public resolvers in fr-par-1: name those to ask, by their IPv4 addresses"},
		},
		"many resolvers": {
			func(e *Egress) { e.Proxy.NameServers = []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"} },
			[]string{"proxy.nameServers: Too many: 4: must have at most 3 items"},
		},
		"resolvers of all sorts": {
			func(e *Egress) { e.Proxy.NameServers = []string{"dns.example", "2001:db8::1", "127.0.0.53"} },
			[]string{
				`proxy.nameServers[0]: Invalid value: "dns.example": must be an IPv4 address`,
				`proxy.nameServers[1]: Invalid value: "2001:db8::1": must be an IPv4 address`,
				`proxy.nameServers[2]: Invalid value: "127.0.0.53": must be the address of one machine that is neither loopback nor link-local`,
			},
		},
		"resolvers that are not reached": {
			func(e *Egress) { e.Proxy.NameServers = []string{"169.254.169.254", "10.0.0.1", "100.64.0.10"} },
			[]string{
				`proxy.nameServers[0]: Invalid value: "169.254.169.254": must be the address of one machine that is neither loopback nor link-local`,
				`proxy.nameServers[1]: Invalid value: "10.0.0.1": must be public with proxy.egress FlexibleIP: queries leave by the flexible IP, from which nothing private is reached`,
				`proxy.nameServers[2]: Invalid value: "100.64.0.10": must be public with proxy.egress FlexibleIP: queries leave by the flexible IP, from which nothing private is reached`,
			},
		},
		"resolver twice": {
			func(e *Egress) { e.Proxy.NameServers = []string{"192.0.2.1", "192.0.2.1"} },
			[]string{`proxy.nameServers[1]: Duplicate value: "192.0.2.1"`},
		},

		"SSH for nobody": {func(e *Egress) { e.Proxy.SSHSources = nil }, nil},
		"SSH from all sorts": {
			func(e *Egress) {
				e.Proxy.SSHSources = []string{"0.0.0.0/0", "203.0.113.7", "203.0.113.7/24", "::/0", "203.0.113.0/24", "203.0.113.0/24"}
			},
			[]string{
				`proxy.sshSources[0]: Invalid value: "0.0.0.0/0": must not be everybody: whoever gets in by SSH owns the proxy; list the networks of your administrators`,
				`proxy.sshSources[1]: Invalid value: "203.0.113.7": must be a CIDR: for this one address write 203.0.113.7/32`,
				`proxy.sshSources[2]: Invalid value: "203.0.113.7/24": must have no host bits: write 203.0.113.0/24`,
				`proxy.sshSources[3]: Invalid value: "::/0": must be IPv4`,
				`proxy.sshSources[5]: Duplicate value: "203.0.113.0/24"`,
			},
		},

		"no cluster":    {func(e *Egress) { e.Cluster = nil }, nil},
		"given cluster": {func(e *Egress) { e.Cluster = &ClusterConfig{ID: uuid, Pools: e.Cluster.Pools} }, nil},
		"given cluster without pools": {
			func(e *Egress) { e.Cluster = &ClusterConfig{ID: uuid} }, nil,
		},
		"given cluster with a region": {
			func(e *Egress) { e.Cluster = &ClusterConfig{ID: "fr-par/" + uuid} },
			[]string{`cluster.id: Invalid value: "fr-par/` + uuid + `": ` + id},
		},
		"given cluster with everything": {
			func(e *Egress) { e.Cluster.ID, e.Cluster.CIDRs = uuid, []string{"10.96.0.0/12"} },
			[]string{
				"cluster.cidrs: " + existing, "cluster.version: " + existing, "cluster.cni: " + existing, "cluster.podCIDR: " + existing,
				"cluster.serviceCIDR: " + existing, "cluster.acl: " + existing, "cluster.autoUpgrade: " + existing, "cluster.autoscaler: " + existing,
			},
		},
		"cluster elsewhere": {func(e *Egress) {
			e.Cluster = &ClusterConfig{CIDRs: []string{"10.244.0.0/16", "10.96.0.0/12", "fd00::/64"}}
		}, nil},
		"cluster elsewhere with everything": {
			func(e *Egress) { e.Cluster.CIDRs = []string{"10.96.0.0/12"} },
			[]string{
				"cluster.version: " + elsewhere, "cluster.cni: " + elsewhere, "cluster.podCIDR: " + elsewhere,
				"cluster.serviceCIDR: " + elsewhere, "cluster.acl: " + elsewhere, "cluster.autoUpgrade: " + elsewhere, "cluster.autoscaler: " + elsewhere,
				"cluster.pools: " + elsewhere,
			},
		},
		"cluster elsewhere with all sorts": {
			func(e *Egress) {
				e.Cluster = &ClusterConfig{CIDRs: []string{"10.96.0.1/12", "::/0", "10.0.0.0/16", "10.0.0.0/16", "172.16.0.0/24"}}
			},
			[]string{
				`network.cidr: Invalid value: "172.16.0.0/22": must not overlap with 172.16.0.0/24, cluster.cidrs[4]`,
				`proxy.privateIP: Invalid value: "172.16.0.10": must not be in 172.16.0.0/24, cluster.cidrs[4]`,
				`cluster.cidrs[0]: Invalid value: "10.96.0.1/12": must have no host bits: write 10.96.0.0/12`,
				`cluster.cidrs[1]: Invalid value: "::/0": must not be everything: nothing would be left for the proxy`,
				`cluster.cidrs[3]: Duplicate value: "10.0.0.0/16"`,
			},
		},

		"no version": {
			func(e *Egress) { e.Cluster.Version = "" },
			[]string{`cluster.version: Required value: Kubernetes' version, such as "1.34"; or set cluster.id for an existing cluster, or cluster.cidrs for one elsewhere`},
		},
		"exact version": {func(e *Egress) { e.Cluster.Version = "1.34.1" }, nil},
		"version with a v": {
			func(e *Egress) { e.Cluster.Version = "v1.34.1" },
			[]string{`cluster.version: Invalid value: "v1.34.1": must have no v before it: write "1.34.1"`},
		},
		"version of no form": {
			func(e *Egress) { e.Cluster.Version = "latest" },
			[]string{`cluster.version: Invalid value: "latest": must be a version of Kubernetes, such as "1.34.1", or "1.34" for its newest patch`},
		},
		"own CNI": {func(e *Egress) { e.Cluster.CNI = "none" }, nil},
		"other CNI": {
			func(e *Egress) { e.Cluster.CNI = "flannel" },
			[]string{`cluster.cni: Unsupported value: "flannel": supported values: "cilium", "cilium_native", "calico", "none"`},
		},
		"public pods": {
			func(e *Egress) { e.Cluster.PodCIDR = "8.0.0.0/8" },
			[]string{`cluster.podCIDR: Invalid value: "8.0.0.0/8": must be private: in 10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12 or 192.168.0.0/16`},
		},
		"Services with host bits": {
			func(e *Egress) { e.Cluster.ServiceCIDR = "10.32.0.1/20" },
			[]string{`cluster.serviceCIDR: Invalid value: "10.32.0.1/20": must have no host bits: write 10.32.0.0/20`},
		},
		"Services among pods": {
			func(e *Egress) { e.Cluster.ServiceCIDR = "100.64.0.0/20" },
			[]string{`cluster.serviceCIDR: Invalid value: "100.64.0.0/20": must not overlap with 100.64.0.0/15, cluster.podCIDR`},
		},
		"ACL for all": {func(e *Egress) { e.Cluster.ACL = []string{"0.0.0.0/0"} }, nil},
		"ACL for all sorts": {
			func(e *Egress) { e.Cluster.ACL = []string{"198.51.100.1/24", "198.51.100.0/24", "198.51.100.0/24", ""} },
			[]string{
				`cluster.acl[0]: Invalid value: "198.51.100.1/24": must have no host bits: write 198.51.100.0/24`,
				`cluster.acl[2]: Duplicate value: "198.51.100.0/24"`,
				`cluster.acl[3]: Invalid value: "": must be a CIDR such as 192.0.2.0/24`,
			},
		},
		"upgrades at no time": {
			func(e *Egress) { e.Cluster.AutoUpgrade = &AutoUpgradeConfig{Day: "Sunday", StartHour: 24} },
			[]string{
				`cluster.autoUpgrade.day: Unsupported value: "Sunday": supported values: "any", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"`,
				"cluster.autoUpgrade.startHour: Invalid value: 24: must be between 0 and 23",
			},
		},
		"autoscaler of all sorts": {
			func(e *Egress) {
				e.Cluster.Autoscaler = &AutoscalerConfig{Expander: "most-pods", ScaleDownDelayAfterAdd: "10", ScaleDownUnneededTime: "-1m"}
			},
			[]string{
				`cluster.autoscaler.expander: Unsupported value: "most-pods": supported values: "random", "most_pods", "least_waste", "priority", "price"`,
				`cluster.autoscaler.scaleDownDelayAfterAdd: Invalid value: "10": must be a duration such as 10m or 1h30m`,
				`cluster.autoscaler.scaleDownUnneededTime: Invalid value: "-1m": must be a duration such as 10m or 1h30m`,
			},
		},
		"empty autoscaler": {func(e *Egress) { e.Cluster.Autoscaler = &AutoscalerConfig{} }, nil},

		"no pools": {func(e *Egress) { e.Cluster.Pools = nil }, []string{"cluster.pools: Required value: at least one, for the cluster's own pods"}},
		"no pool for all": {
			func(e *Egress) {
				e.Cluster.Pools[0].Taints = []TaintConfig{{Key: "a", Effect: "NoExecute"}}
			},
			[]string{"cluster.pools: Invalid value: 2: must have one without tenant and without taints NoSchedule and NoExecute: the cluster's own pods (DNS, for example) and the webhook run there"},
		},
		"pool without a name": {func(e *Egress) { e.Cluster.Pools[0].Name = "" }, []string{"cluster.pools[0].name: Required value: a DNS label, such as client-a"}},
		"pool twice":          {func(e *Egress) { e.Cluster.Pools[1].Name = "system" }, []string{`cluster.pools[1].name: Duplicate value: "system"`}},
		"pool with a bad name": {
			func(e *Egress) { e.Cluster.Pools[1].Name = "A" },
			[]string{`cluster.pools[1].name: Invalid value: "A": ` + label},
		},
		"pool for nobody": {
			func(e *Egress) { e.Cluster.Pools[1].Tenant = "client-x" },
			[]string{`cluster.pools[1].tenant: Invalid value: "client-x": must be the name of one of tenants`},
		},
		"pool without a type": {func(e *Egress) { e.Cluster.Pools[0].NodeType = "" }, []string{"cluster.pools[0].nodeType: Required value: a commercial type such as PRO2-XXS"}},
		"pool in another zone": {
			func(e *Egress) { e.Cluster.Pools[0].Zone = "fr-par-2" }, nil,
		},
		"pool in another region": {
			func(e *Egress) { e.Cluster.Pools[0].Zone = "nl-ams-1" },
			[]string{`cluster.pools[0].zone: Invalid value: "nl-ams-1": must be in the region fr-par, which network and cluster are in`},
		},
		"pool of none": {func(e *Egress) { e.Cluster.Pools[0].Size = -1 }, []string{"cluster.pools[0].size: Invalid value: -1: must be at least 1"}},
		"pool that is below its bounds": {
			func(e *Egress) { e.Cluster.Pools[1].Autoscaling = &AutoscalingConfig{Min: 2, Max: 5} },
			[]string{"cluster.pools[1].size: Invalid value: 1: must be between autoscaling's min and max, 2 and 5"},
		},
		"pool that is above its bounds": {
			func(e *Egress) { e.Cluster.Pools[1].Size = 6 },
			[]string{"cluster.pools[1].size: Invalid value: 6: must be between autoscaling's min and max, 1 and 5"},
		},
		"pool with negative bounds": {
			func(e *Egress) { e.Cluster.Pools[1].Autoscaling.Min = -1 },
			[]string{"cluster.pools[1].autoscaling.min: Invalid value: -1: must be at least 0"},
		},
		"pool with bounds that cross": {
			func(e *Egress) { e.Cluster.Pools[1].Autoscaling = &AutoscalingConfig{Min: 3, Max: 2} },
			[]string{"cluster.pools[1].autoscaling.max: Invalid value: 2: must be at least 1, and at least min"},
		},
		"pool that stays empty": {
			func(e *Egress) { e.Cluster.Pools[1].Autoscaling = &AutoscalingConfig{} },
			[]string{"cluster.pools[1].autoscaling.max: Invalid value: 0: must be at least 1, and at least min"},
		},
		"pool with small volumes": {func(e *Egress) { e.Cluster.Pools[0].VolumeGB = 19 }, []string{"cluster.pools[0].volumeGB: Invalid value: 19: must be at least 20"}},
		"pool with labels of all sorts": {
			func(e *Egress) {
				e.Cluster.Pools[0].Labels = map[string]string{"a b": "", "b": "c d", names.LabelTenant: "client-a", "e": ""}
			},
			[]string{
				`cluster.pools[0].labels[a b]: Invalid value: "a b": ` + key,
				`cluster.pools[0].labels[b]: Invalid value: "c d": ` + value,
				"cluster.pools[0].labels[egress.scw/tenant]: Forbidden: comes with the pool's field tenant: set that, and remove this",
			},
		},
		"pool with taints of all sorts": {
			func(e *Egress) {
				e.Cluster.Pools[1].Taints = []TaintConfig{
					{Key: "a", Effect: "NoSchedule"},
					{Key: "a", Value: "b", Effect: "NoSchedule"},
					{Key: "a", Effect: "NoExecute"},
					{Key: "", Value: "x y", Effect: ""},
					{Key: names.LabelTenant, Effect: "NoExecute"},
				}
			},
			[]string{
				`cluster.pools[1].taints[1]: Duplicate value: "a:NoSchedule"`,
				"cluster.pools[1].taints[3].key: Required value: a taint's key, such as example.com/dedicated",
				`cluster.pools[1].taints[3].value: Invalid value: "x y": ` + value,
				`cluster.pools[1].taints[3].effect: Unsupported value: "": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"`,
				"cluster.pools[1].taints[4].key: Forbidden: comes with the pool's field tenant: set that, and remove this",
			},
		},

		"registry of no form": {func(e *Egress) { e.Registry.Name = "A" }, []string{`registry.name: Invalid value: "A": ` + label}},
		"no registry":         {func(e *Egress) { e.Registry = nil }, nil},

		"one output": {
			func(e *Egress) { e.Outputs.Values = "./kubeconfig.yaml" },
			[]string{`outputs.values: Invalid value: "./kubeconfig.yaml": must be another file than outputs.kubeconfig`},
		},
		"folder for an output": {
			func(e *Egress) { e.Outputs.Values, e.Outputs.Kubeconfig = "out/", "out/.." },
			[]string{`outputs.kubeconfig: Invalid value: "out/..": must be the path of a file`, `outputs.values: Invalid value: "out/": must be the path of a file`},
		},

		"five addresses": {
			func(e *Egress) {
				e.Cluster, e.Tenants = nil, nil
				for i := range int32(5) {
					tenant := v1alpha1.Tenant{Name: fmt.Sprintf("t%d", i)}
					tenant.Proxy = &v1alpha1.TenantProxy{Port: names.TenantPortMin + i, EgressIP: v1alpha1.EgressIPDedicated}
					e.Tenants = append(e.Tenants, tenant)
				}
			},
			[]string{`tenants[4].proxy.egressIP: Invalid value: "Dedicated": must be Shared: a proxy has dedicated addresses for at most 4 tenants`},
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

// clone returns an independent copy of what egress.yaml holds.
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
