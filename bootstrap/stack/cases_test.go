package stack

import (
	"net/netip"
	"slices"
	"time"

	"egress.scw/bootstrap/config"
	"egress.scw/cloudinit"
	"egress.scw/webhook/api/v1alpha1"
)

func diffCases() map[string]diffCase {
	return map[string]diffCase{
		"nothing to do": {},
		"first run": {
			touch: func(m *memory) { *m = *newMemory() },
			want: []string{
				"create vpc",
				"create private-network << vpc",
				"create gateway",
				"create gateway-network << gateway, private-network",
				"create security-group/proxy",
				"create flexible-ip/shared << security-group/proxy",
				"create flexible-ip/tenant/client-b << security-group/proxy",
				"create private-ip/proxy << private-network",
				"create private-ip/proxy-spare << private-ip/proxy, private-network",
				"create server/proxy << security-group/proxy",
				"create volume/proxy << server/proxy",
				"create private-nic/proxy << private-ip/proxy, private-network, server/proxy",
				"create attachment/shared << flexible-ip/shared, server/proxy",
				"create attachment/tenant/client-b << flexible-ip/tenant/client-b, server/proxy",
				"create user-data/proxy/cloud-init << server/proxy",
				"create user-data/proxy/squid-conf << attachment/shared, attachment/tenant/client-b, flexible-ip/shared, flexible-ip/tenant/client-b, server/proxy",
				"create power/proxy << attachment/shared, attachment/tenant/client-b, private-nic/proxy, server/proxy, user-data/proxy/cloud-init, user-data/proxy/squid-conf, volume/proxy",
				"create cluster << private-network",
				"create pool/system << cluster",
				"create pool/client-a << cluster",
				"create registry",
			},
		},
		"first run in an existing network, with an existing cluster": {
			touch: func(m *memory) { *m = *newMemory() }, after: existing,
			want: []string{
				"create gateway",
				"create gateway-network << gateway",
				"create security-group/proxy",
				"create flexible-ip/shared << security-group/proxy",
				"create flexible-ip/tenant/client-b << security-group/proxy",
				"create private-ip/proxy",
				"create private-ip/proxy-spare << private-ip/proxy",
				"create server/proxy << security-group/proxy",
				"create volume/proxy << server/proxy",
				"create private-nic/proxy << private-ip/proxy, server/proxy",
				"create attachment/shared << flexible-ip/shared, server/proxy",
				"create attachment/tenant/client-b << flexible-ip/tenant/client-b, server/proxy",
				"create user-data/proxy/cloud-init << server/proxy",
				"create user-data/proxy/squid-conf << attachment/shared, attachment/tenant/client-b, flexible-ip/shared, flexible-ip/tenant/client-b, server/proxy",
				"create power/proxy << attachment/shared, attachment/tenant/client-b, private-nic/proxy, server/proxy, user-data/proxy/cloud-init, user-data/proxy/squid-conf, volume/proxy",
				"create pool/system",
				"create pool/client-a",
				"create registry",
			},
		},
		"names": {
			touch: func(m *memory) {
				of[*VPC](m, "vpc").Name, of[*PrivateNetwork](m, "private-network").Name = "other", "other"
				of[*Gateway](m, "gateway").Name, of[*Cluster](m, "cluster").Name = "other", "other"
				of[*SecurityGroup](m, "security-group/proxy").Name, of[*Server](m, "server/proxy").Name = "other", "other"
				of[*Volume](m, "volume/proxy").Name = "other"
			},
			want: []string{
				"update vpc; name: other -> egress-test",
				"update private-network; name: other -> egress-test << vpc",
				"update gateway; name: other -> egress-test",
				"update security-group/proxy; name: other -> egress-test-proxy",
				"update server/proxy; name: other -> egress-test-proxy << security-group/proxy",
				"update volume/proxy; name: other -> egress-test-proxy << server/proxy",
				"update cluster; name: other -> egress-test << private-network",
			},
		},
		"gateway": {
			after: func(s *Spec) { s.Gateway.Type, s.Gateway.Masquerade = "VPC-GW-M", new(false) },
			want: []string{
				"update gateway; type: VPC-GW-S -> VPC-GW-M",
				"update gateway-network; masquerade: yes -> no << gateway",
			},
		},
		"gateway in another zone": {
			after: func(s *Spec) { s.Gateway.Zone = "fr-par-2" },
			want: []string{
				"delete gateway-network gateway-network-1; to be replaced",
				"delete gateway gateway-1; to be replaced << delete gateway-network gateway-network-1",
				"replace gateway; zone: fr-par-1 -> fr-par-2 << delete gateway gateway-1",
				"replace gateway-network; gateway: gateway-1 -> (known after apply) << delete gateway-network gateway-network-1, gateway",
			},
		},
		"gateway that does not come up": {
			touch: func(m *memory) { of[*Gateway](m, "gateway").Status = "allocating" },
			want: []string{
				"update gateway; status: allocating -> ready",
			},
		},
		"gateway is not wanted any more": {
			after: func(s *Spec) { s.Gateway.Enabled = new(false) },
			want: []string{
				"delete gateway-network gateway-network-1; not wanted any more",
				"delete gateway gateway-1; not wanted any more << delete gateway-network gateway-network-1",
			},
		},
		"rules": {
			touch: func(m *memory) {
				of[*SecurityGroup](m, "security-group/proxy").Unmanaged = []string{"accept tcp/80 from 0.0.0.0/0"}
			},
			after: func(s *Spec) { s.Proxy.SSHSources = []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")} },
			want: []string{
				"update security-group/proxy; rules: accept tcp/22 from 192.0.2.0/24, accept tcp/80 from 0.0.0.0/0 -> accept tcp/22 from 192.0.2.7/32",
			},
		},
		"all rules go: the machine has no SSH server then": {
			after: func(s *Spec) { s.Proxy.SSHSources = nil },
			want: []string{
				"update security-group/proxy; rules: accept tcp/22 from 192.0.2.0/24 -> none",
				"delete server/proxy server-1; to be replaced",
				"replace server/proxy; cloud-init << delete server/proxy server-1, security-group/proxy",
				"create volume/proxy << server/proxy",
				"create private-nic/proxy << server/proxy",
				"create attachment/shared << server/proxy",
				"create attachment/tenant/client-b << server/proxy",
				"create user-data/proxy/cloud-init << server/proxy",
				"create user-data/proxy/squid-conf << attachment/shared, attachment/tenant/client-b, server/proxy",
				"create power/proxy << attachment/shared, attachment/tenant/client-b, private-nic/proxy, server/proxy, user-data/proxy/cloud-init, user-data/proxy/squid-conf, volume/proxy",
			},
		},
		"audit log is sent somewhere": {
			after: func(s *Spec) { s.Proxy.AuditLog.Syslog = &cloudinit.Syslog{Host: "logs.example.com", Port: 6514} },
			want: []string{
				"delete server/proxy server-1; to be replaced",
				"replace server/proxy; cloud-init << delete server/proxy server-1",
				"create volume/proxy << server/proxy",
				"create private-nic/proxy << server/proxy",
				"create attachment/shared << server/proxy",
				"create attachment/tenant/client-b << server/proxy",
				"create user-data/proxy/cloud-init << server/proxy",
				"create user-data/proxy/squid-conf << attachment/shared, attachment/tenant/client-b, server/proxy",
				"create power/proxy << attachment/shared, attachment/tenant/client-b, private-nic/proxy, server/proxy, user-data/proxy/cloud-init, user-data/proxy/squid-conf, volume/proxy",
			},
		},
		"type of the server": {
			after: func(s *Spec) { s.Proxy.Type = "PLAY2-MICRO" },
			want: []string{
				"delete server/proxy server-1; to be replaced",
				"replace server/proxy; type: PLAY2-NANO -> PLAY2-MICRO << delete server/proxy server-1",
				"create volume/proxy << server/proxy",
				"create private-nic/proxy << server/proxy",
				"create attachment/shared << server/proxy",
				"create attachment/tenant/client-b << server/proxy",
				"create user-data/proxy/cloud-init << server/proxy",
				"create user-data/proxy/squid-conf << attachment/shared, attachment/tenant/client-b, server/proxy",
				"create power/proxy << attachment/shared, attachment/tenant/client-b, private-nic/proxy, server/proxy, user-data/proxy/cloud-init, user-data/proxy/squid-conf, volume/proxy",
			},
		},
		"image of the server": {
			after: func(s *Spec) { s.Proxy.Image = "debian_bookworm" },
			want: []string{
				"delete server/proxy server-1; to be replaced",
				"replace server/proxy; image: debian_trixie -> debian_bookworm << delete server/proxy server-1",
				"create volume/proxy << server/proxy",
				"create private-nic/proxy << server/proxy",
				"create attachment/shared << server/proxy",
				"create attachment/tenant/client-b << server/proxy",
				"create user-data/proxy/cloud-init << server/proxy",
				"create user-data/proxy/squid-conf << attachment/shared, attachment/tenant/client-b, server/proxy",
				"create power/proxy << attachment/shared, attachment/tenant/client-b, private-nic/proxy, server/proxy, user-data/proxy/cloud-init, user-data/proxy/squid-conf, volume/proxy",
			},
		},
		"volume of the server": {
			after: func(s *Spec) { s.Proxy.VolumeGB = 50 },
			want: []string{
				"delete server/proxy server-1; to be replaced",
				"replace server/proxy; volume: 20 GB -> 50 GB << delete server/proxy server-1",
				"create volume/proxy << server/proxy",
				"create private-nic/proxy << server/proxy",
				"create attachment/shared << server/proxy",
				"create attachment/tenant/client-b << server/proxy",
				"create user-data/proxy/cloud-init << server/proxy",
				"create user-data/proxy/squid-conf << attachment/shared, attachment/tenant/client-b, server/proxy",
				"create power/proxy << attachment/shared, attachment/tenant/client-b, private-nic/proxy, server/proxy, user-data/proxy/cloud-init, user-data/proxy/squid-conf, volume/proxy",
			},
		},
		"cloud-init of the server": {
			after: func(s *Spec) { s.Proxy.NameServers = []netip.Addr{netip.MustParseAddr("192.0.2.53")} },
			want: []string{
				"delete server/proxy server-1; to be replaced",
				"replace server/proxy; cloud-init << delete server/proxy server-1",
				"create volume/proxy << server/proxy",
				"create private-nic/proxy << server/proxy",
				"create attachment/shared << server/proxy",
				"create attachment/tenant/client-b << server/proxy",
				"create user-data/proxy/cloud-init << server/proxy",
				"create user-data/proxy/squid-conf << attachment/shared, attachment/tenant/client-b, server/proxy",
				"create power/proxy << attachment/shared, attachment/tenant/client-b, private-nic/proxy, server/proxy, user-data/proxy/cloud-init, user-data/proxy/squid-conf, volume/proxy",
			},
		},
		"server that never had cloud-init": {
			touch: func(m *memory) {
				of[*Server](m, "server/proxy").Running = false
				m.drop("power/proxy", "user-data/proxy/cloud-init", "user-data/proxy/squid-conf")
			},
			after: func(s *Spec) { s.Proxy.NameServers = []netip.Addr{netip.MustParseAddr("192.0.2.53")} },
			want: []string{
				"create user-data/proxy/cloud-init",
				"create user-data/proxy/squid-conf",
				"create power/proxy << user-data/proxy/cloud-init, user-data/proxy/squid-conf",
			},
		},
		"server that is off": {
			touch: func(m *memory) {
				of[*Server](m, "server/proxy").Running = false
				m.drop("power/proxy")
			},
			want: []string{
				"create power/proxy",
			},
		},
		"server that is being deleted": {
			touch: func(m *memory) { of[*Server](m, "server/proxy").Deleting = true },
			want: []string{
				"delete server/proxy server-1; is being deleted",
				"create server/proxy << delete server/proxy server-1",
				"create volume/proxy << server/proxy",
				"create private-nic/proxy << delete server/proxy server-1, server/proxy",
				"create attachment/shared << server/proxy",
				"create attachment/tenant/client-b << server/proxy",
				"create user-data/proxy/cloud-init << server/proxy",
				"create user-data/proxy/squid-conf << attachment/shared, attachment/tenant/client-b, server/proxy",
				"create power/proxy << attachment/shared, attachment/tenant/client-b, private-nic/proxy, server/proxy, user-data/proxy/cloud-init, user-data/proxy/squid-conf, volume/proxy",
			},
		},
		"server is gone, its volume is not": {
			touch: func(m *memory) {
				m.drop("server/proxy", "private-nic/proxy", "attachment/shared", "attachment/tenant/client-b", "user-data/proxy/cloud-init", "user-data/proxy/squid-conf", "power/proxy")
				v := of[*Volume](m, "volume/proxy")
				v.Role, v.Server = v.ID, nil
			},
			want: []string{
				"create server/proxy",
				"create volume/proxy << server/proxy",
				"create private-nic/proxy << server/proxy",
				"create attachment/shared << server/proxy",
				"create attachment/tenant/client-b << server/proxy",
				"create user-data/proxy/cloud-init << server/proxy",
				"create user-data/proxy/squid-conf << attachment/shared, attachment/tenant/client-b, server/proxy",
				"create power/proxy << attachment/shared, attachment/tenant/client-b, private-nic/proxy, server/proxy, user-data/proxy/cloud-init, user-data/proxy/squid-conf, volume/proxy",
				"delete volume/volume-of-server-1 volume-of-server-1; not wanted any more",
			},
		},
		"private address": {
			after: func(s *Spec) { s.Proxy.PrivateIP = netip.MustParseAddr("172.16.28.9") },
			want: []string{
				"delete server/proxy server-1; to be replaced",
				"delete private-ip/proxy private-ip-1; to be replaced << delete server/proxy server-1",
				"replace private-ip/proxy; address: 172.16.28.8 -> 172.16.28.9 << delete private-ip/proxy private-ip-1",
				"replace server/proxy; cloud-init << delete server/proxy server-1",
				"create volume/proxy << server/proxy",
				"create private-nic/proxy << private-ip/proxy, server/proxy",
				"create attachment/shared << server/proxy",
				"create attachment/tenant/client-b << server/proxy",
				"create user-data/proxy/cloud-init << server/proxy",
				"create user-data/proxy/squid-conf << attachment/shared, attachment/tenant/client-b, server/proxy",
				"create power/proxy << attachment/shared, attachment/tenant/client-b, private-nic/proxy, server/proxy, user-data/proxy/cloud-init, user-data/proxy/squid-conf, volume/proxy",
			},
		},
		"range of the network": {
			after: func(s *Spec) { s.Network.CIDR = netip.MustParsePrefix("172.16.24.0/21") },
			want: []string{
				"delete gateway-network gateway-network-1; to be replaced",
				"delete server/proxy server-1; to be replaced",
				"delete private-ip/proxy private-ip-1; to be replaced << delete server/proxy server-1",
				"delete private-ip/proxy-spare private-ip-2; to be replaced",
				"delete pool/system pool-1; to be replaced",
				"delete pool/client-a pool-2; to be replaced",
				"delete cluster cluster-1; to be replaced << delete pool/client-a pool-2, delete pool/system pool-1",
				"delete private-network private-network-1; to be replaced << delete cluster cluster-1, delete gateway-network gateway-network-1, delete pool/client-a pool-2, delete pool/system pool-1, delete private-ip/proxy private-ip-1, delete private-ip/proxy-spare private-ip-2, delete server/proxy server-1",
				"replace private-network; cidr: 172.16.28.0/22 -> 172.16.24.0/21 << delete private-network private-network-1",
				"replace gateway-network; network: private-network-1 -> (known after apply) << delete gateway-network gateway-network-1, private-network",
				"replace private-ip/proxy; network: private-network-1 -> (known after apply) << delete private-ip/proxy private-ip-1, private-network",
				"replace private-ip/proxy-spare; network: private-network-1 -> (known after apply) << delete private-ip/proxy-spare private-ip-2, private-ip/proxy, private-network",
				"replace server/proxy; cloud-init << delete server/proxy server-1",
				"create volume/proxy << server/proxy",
				"create private-nic/proxy << private-ip/proxy, private-network, server/proxy",
				"create attachment/shared << server/proxy",
				"create attachment/tenant/client-b << server/proxy",
				"create user-data/proxy/cloud-init << server/proxy",
				"create user-data/proxy/squid-conf << attachment/shared, attachment/tenant/client-b, server/proxy",
				"create power/proxy << attachment/shared, attachment/tenant/client-b, private-nic/proxy, server/proxy, user-data/proxy/cloud-init, user-data/proxy/squid-conf, volume/proxy",
				"replace cluster; network: private-network-1 -> (known after apply) << delete cluster cluster-1, private-network",
				"replace pool/system; cluster: cluster-1 -> (known after apply) << cluster, delete pool/system pool-1",
				"replace pool/client-a; cluster: cluster-1 -> (known after apply) << cluster, delete pool/client-a pool-2",
			},
		},
		"address by the gateway": {
			after: func(s *Spec) {
				s.Proxy.SourceAddress, s.Proxy.SSHSources = cloudinit.SourceGateway, nil
				s.Tenants[1].Proxy.EgressIP = v1alpha1.EgressIPShared
			},
			want: []string{
				"update security-group/proxy; rules: accept tcp/22 from 192.0.2.0/24 -> none",
				"create flexible-ip/metadata",
				"delete server/proxy server-1; to be replaced",
				"replace server/proxy; cloud-init << delete server/proxy server-1, security-group/proxy",
				"create volume/proxy << server/proxy",
				"create private-nic/proxy << server/proxy",
				"create attachment/metadata << flexible-ip/metadata, server/proxy",
				"create user-data/proxy/cloud-init << server/proxy",
				"create user-data/proxy/squid-conf << attachment/metadata, server/proxy",
				"create power/proxy << attachment/metadata, private-nic/proxy, server/proxy, user-data/proxy/cloud-init, user-data/proxy/squid-conf, volume/proxy",
				"delete flexible-ip/shared flexible-ip-1; not wanted any more << delete server/proxy server-1, user-data/proxy/cloud-init, user-data/proxy/squid-conf",
				"delete flexible-ip/tenant/client-b flexible-ip-2; not wanted any more << delete server/proxy server-1, user-data/proxy/cloud-init, user-data/proxy/squid-conf",
			},
		},
		"tenant gets an address": {
			after: func(s *Spec) { s.Tenants[0].Proxy.EgressIP = v1alpha1.EgressIPDedicated },
			want: []string{
				"create flexible-ip/tenant/client-a",
				"create attachment/tenant/client-a << flexible-ip/tenant/client-a",
				"update user-data/proxy/squid-conf; tenant client-a; text << attachment/tenant/client-a, flexible-ip/tenant/client-a",
			},
		},
		"tenant loses its address": {
			after: func(s *Spec) { s.Tenants[1].Proxy.EgressIP = v1alpha1.EgressIPShared },
			want: []string{
				"update user-data/proxy/squid-conf; tenant client-b; text",
				"delete flexible-ip/tenant/client-b flexible-ip-2; not wanted any more << user-data/proxy/squid-conf",
			},
		},
		"tenant with an address leaves": {
			after: func(s *Spec) { s.Tenants = s.Tenants[:1] },
			want: []string{
				"update user-data/proxy/squid-conf; tenant client-b; text",
				"delete flexible-ip/tenant/client-b flexible-ip-2; not wanted any more << user-data/proxy/squid-conf",
			},
		},
		"address that is attached elsewhere": {
			touch: func(m *memory) {
				of[*Attachment](m, "attachment/shared").Server = &Server{ResourceMeta: ResourceMeta{ID: "theirs"}}
			},
			want: []string{
				"update attachment/shared; server: theirs -> server-1",
			},
		},
		"address that is not attached yet": {
			touch: func(m *memory) { of[*Attachment](m, "attachment/shared").State = "pending" },
			want: []string{
				"update attachment/shared; status: pending -> attached",
			},
		},
		"cluster that all of Scaleway may reach": {
			touch: func(m *memory) { of[*Cluster](m, "cluster").ScalewayRanges = true },
			want: []string{
				"update cluster; acl: 198.51.100.0/24, all addresses of Scaleway -> 198.51.100.0/24",
			},
		},
		"cluster": {
			after: func(s *Spec) {
				s.Cluster.ACL = nil
				s.Cluster.AutoUpgrade = &config.AutoUpgrade{Day: "sunday", StartHour: 3}
				s.Cluster.Autoscaler.Expander = "price"
				s.Cluster.Version = "1.99" // bootstrap does not upgrade clusters
			},
			want: []string{
				"update cluster; acl: 198.51.100.0/24 -> 0.0.0.0/0; auto upgrade: off -> sunday 03:00 UTC; expander: random -> price",
			},
		},
		"cluster with other ranges": {
			after: func(s *Spec) { s.Cluster.PodCIDR = netip.MustParsePrefix("100.68.0.0/15") },
			want: []string{
				"delete pool/system pool-1; to be replaced",
				"delete pool/client-a pool-2; to be replaced",
				"delete cluster cluster-1; to be replaced << delete pool/client-a pool-2, delete pool/system pool-1",
				"replace cluster; pod CIDR: 100.64.0.0/15 -> 100.68.0.0/15 << delete cluster cluster-1",
				"replace pool/system; cluster: cluster-1 -> (known after apply) << cluster, delete pool/system pool-1",
				"replace pool/client-a; cluster: cluster-1 -> (known after apply) << cluster, delete pool/client-a pool-2",
			},
		},
		"cluster that is being deleted": {
			touch: func(m *memory) { of[*Cluster](m, "cluster").Deleting = true },
			want: []string{
				"delete pool/client-a pool-2; to be replaced",
				"delete pool/system pool-1; to be replaced",
				"delete cluster cluster-1; is being deleted << delete pool/client-a pool-2, delete pool/system pool-1",
				"create cluster << delete cluster cluster-1",
				"replace pool/system; cluster: cluster-1 -> (known after apply) << cluster, delete pool/system pool-1",
				"replace pool/client-a; cluster: cluster-1 -> (known after apply) << cluster, delete pool/client-a pool-2",
			},
		},
		"cluster is not wanted any more": {
			after: func(s *Spec) { s.Cluster = nil },
			want: []string{
				"delete pool/client-a pool-2; not wanted any more",
				"delete pool/system pool-1; not wanted any more",
				"delete cluster cluster-1; not wanted any more << delete pool/client-a pool-2, delete pool/system pool-1",
			},
		},
		"pools": {
			after: func(s *Spec) {
				s.Cluster.Pools[0].Size, s.Cluster.Pools[0].Autohealing = 3, new(false)
				s.Cluster.Pools[1].Autoscaling.Max, s.Cluster.Pools[1].Labels, s.Cluster.Pools[1].Tenant = 5, map[string]string{"b": "2", "a": "1"}, ""
			},
			want: []string{
				"update pool/system; autohealing: yes -> no; size: 2 -> 3",
				"update pool/client-a; labels: egress.scw/tenant=client-a -> a=1, b=2; taints: egress.scw/tenant=client-a:NoSchedule -> none; autoscaling: 1 to 3 -> 1 to 5",
			},
		},
		"pool of another type": {
			after: func(s *Spec) { s.Cluster.Pools[0].NodeType = "PRO2-S" },
			want: []string{
				"delete pool/system pool-1; to be replaced",
				"replace pool/system; node type: pro2_xxs -> pro2_s << delete pool/system pool-1",
			},
		},
		"pool with another volume, in another zone": {
			after: func(s *Spec) {
				s.Cluster.Pools[0].VolumeGB, s.Cluster.Pools[1].Zone = 100, "fr-par-2"
			},
			want: []string{
				"delete pool/system pool-1; to be replaced",
				"replace pool/system; volume: 20 GB -> 100 GB << delete pool/system pool-1",
				"delete pool/client-a pool-2; to be replaced",
				"replace pool/client-a; zone: fr-par-1 -> fr-par-2 << delete pool/client-a pool-2",
			},
		},
		"the autoscaler decides the size of an autoscaled pool": {
			touch: func(m *memory) {
				pool := of[*Pool](m, "pool/client-a")
				pool.Size, pool.Status = 3, "scaling"
			},
		},
		"pool of one size gets autoscaling": {
			after: func(s *Spec) { s.Cluster.Pools[0].Autoscaling = &config.Autoscaling{Min: 1, Max: 4} },
			want: []string{
				"update pool/system; autoscaling: off -> 1 to 4",
			},
		},
		"pool is not wanted any more": {
			after: func(s *Spec) { s.Cluster.Pools = s.Cluster.Pools[:1] },
			want: []string{
				"delete pool/client-a pool-2; not wanted any more",
			},
		},
		"registry": {
			after: func(s *Spec) { s.Registry.Public = true },
			want: []string{
				"update registry; public: no -> yes",
			},
		},
		"registry of another name": {
			after: func(s *Spec) { s.Registry = &config.Registry{Name: "egress-other"} },
			want: []string{
				"delete registry registry-1; to be replaced",
				"replace registry; name: egress-test -> egress-other << delete registry registry-1",
			},
		},
		"registry that is being deleted": {
			touch: func(m *memory) { of[*Registry](m, "registry").Deleting = true },
			want: []string{
				"delete registry registry-1; is being deleted",
				"create registry << delete registry registry-1",
			},
		},
		"network and cluster are existing ones from now on": {
			after: existing,
			want: []string{
				"delete gateway-network gateway-network-1; to be replaced",
				"replace gateway-network; network: private-network-1 -> their-network << delete gateway-network gateway-network-1",
				"delete private-nic/proxy private-nic-1; to be replaced",
				"delete private-ip/proxy private-ip-1; to be replaced << delete private-nic/proxy private-nic-1",
				"replace private-ip/proxy; network: private-network-1 -> their-network << delete private-ip/proxy private-ip-1",
				"delete private-ip/proxy-spare private-ip-2; to be replaced",
				"replace private-ip/proxy-spare; network: private-network-1 -> their-network << delete private-ip/proxy-spare private-ip-2, private-ip/proxy",
				"replace private-nic/proxy; network: private-network-1 -> their-network; private IP: private-ip-1 -> (known after apply) << delete private-nic/proxy private-nic-1, private-ip/proxy",
				"delete pool/system pool-1; to be replaced",
				"replace pool/system; cluster: cluster-1 -> their-cluster << delete pool/system pool-1",
				"delete pool/client-a pool-2; to be replaced",
				"replace pool/client-a; cluster: cluster-1 -> their-cluster << delete pool/client-a pool-2",
				"delete cluster cluster-1; not wanted any more << delete pool/client-a pool-2, delete pool/system pool-1",
				"delete private-network private-network-1; not wanted any more << delete cluster cluster-1, delete gateway-network gateway-network-1, delete pool/client-a pool-2, delete pool/system pool-1, delete private-ip/proxy private-ip-1, delete private-ip/proxy-spare private-ip-2, delete private-nic/proxy private-nic-1",
				"delete vpc vpc-1; not wanted any more << delete private-network private-network-1",
			},
		},
		"network and cluster are created from now on": {
			before: existing,
			want: []string{
				"create vpc",
				"create private-network << vpc",
				"delete gateway-network gateway-network-1; to be replaced",
				"replace gateway-network; network: their-network -> (known after apply) << delete gateway-network gateway-network-1, private-network",
				"delete private-nic/proxy private-nic-1; to be replaced",
				"delete private-ip/proxy private-ip-1; to be replaced << delete private-nic/proxy private-nic-1",
				"replace private-ip/proxy; network: their-network -> (known after apply) << delete private-ip/proxy private-ip-1, private-network",
				"delete private-ip/proxy-spare private-ip-2; to be replaced",
				"replace private-ip/proxy-spare; network: their-network -> (known after apply) << delete private-ip/proxy-spare private-ip-2, private-ip/proxy, private-network",
				"replace private-nic/proxy; network: their-network -> (known after apply); private IP: private-ip-1 -> (known after apply) << delete private-nic/proxy private-nic-1, private-ip/proxy, private-network",
				"create cluster << private-network",
				"delete pool/system pool-1; to be replaced",
				"replace pool/system; cluster: their-cluster -> (known after apply) << cluster, delete pool/system pool-1",
				"delete pool/client-a pool-2; to be replaced",
				"replace pool/client-a; cluster: their-cluster -> (known after apply) << cluster, delete pool/client-a pool-2",
			},
		},
		"own cluster is an existing one from now on": {
			after: func(s *Spec) { s.Cluster.ID = "cluster-1" },
		},
		"own network is an existing one from now on": {
			after: func(s *Spec) { s.Network = config.Network{ID: "private-network-1"} },
		},
		"two security groups, the server in the younger one": {
			touch: func(m *memory) {
				of[*Server](m, "server/proxy").SecurityGroup = double[*SecurityGroup](m, "security-group/proxy")
			},
			want: []string{
				"update server/proxy; security group: security-group-1-double -> security-group-1",
				"delete security-group/proxy security-group-1-double; one of several for one purpose; the oldest stays << server/proxy",
			},
		},
		"two addresses for one purpose, the younger one attached": {
			touch: func(m *memory) {
				second := double[*FlexibleIP](m, "flexible-ip/shared")
				second.Address = netip.MustParseAddr("203.0.113.99")
				a := of[*Attachment](m, "attachment/shared")
				a.ID, a.IP = second.ID, second
			},
			want: []string{
				"delete flexible-ip/shared flexible-ip-1-double; one of several for one purpose; the oldest stays",
				"create attachment/shared",
			},
		},
		"two servers": {
			touch: func(m *memory) { double[*Server](m, "server/proxy") },
			want: []string{
				"delete server/proxy server-1-double; one of several for one purpose; the oldest stays",
			},
		},
		"two servers, the younger one with the private address": {
			touch: func(m *memory) {
				second := double[*Server](m, "server/proxy")
				of[*PrivateNIC](m, "private-nic/proxy").Server = second
			},
			want: []string{
				"delete server/proxy server-1-double; one of several for one purpose; the oldest stays",
				"create private-nic/proxy << delete server/proxy server-1-double",
			},
		},
		"two servers, of another type than wanted": {
			touch: func(m *memory) { double[*Server](m, "server/proxy") },
			after: func(s *Spec) { s.Proxy.Type = "PLAY2-MICRO" },
			want: []string{
				"delete server/proxy server-1-double; one of several for one purpose; the oldest stays",
				"delete server/proxy server-1; to be replaced",
				"replace server/proxy; type: PLAY2-NANO -> PLAY2-MICRO << delete server/proxy server-1, delete server/proxy server-1-double",
				"create volume/proxy << server/proxy",
				"create private-nic/proxy << delete server/proxy server-1-double, server/proxy",
				"create attachment/shared << server/proxy",
				"create attachment/tenant/client-b << server/proxy",
				"create user-data/proxy/cloud-init << server/proxy",
				"create user-data/proxy/squid-conf << attachment/shared, attachment/tenant/client-b, server/proxy",
				"create power/proxy << attachment/shared, attachment/tenant/client-b, private-nic/proxy, server/proxy, user-data/proxy/cloud-init, user-data/proxy/squid-conf, volume/proxy",
			},
		},
		"two bookings, the younger one of the address": {
			touch: func(m *memory) {
				second := double[*PrivateIP](m, "private-ip/proxy")
				second.Address = netip.MustParseAddr("172.16.28.9")
			},
			after: func(s *Spec) { s.Proxy.PrivateIP = netip.MustParseAddr("172.16.28.9") },
			want: []string{
				"delete server/proxy server-1; to be replaced",
				"delete private-ip/proxy private-ip-1-double; one of several for one purpose; the oldest stays << delete server/proxy server-1",
				"delete private-ip/proxy private-ip-1; to be replaced << delete server/proxy server-1",
				"replace private-ip/proxy; address: 172.16.28.8 -> 172.16.28.9 << delete private-ip/proxy private-ip-1, delete private-ip/proxy private-ip-1-double",
				"replace server/proxy; cloud-init << delete server/proxy server-1",
				"create volume/proxy << server/proxy",
				"create private-nic/proxy << private-ip/proxy, server/proxy",
				"create attachment/shared << server/proxy",
				"create attachment/tenant/client-b << server/proxy",
				"create user-data/proxy/cloud-init << server/proxy",
				"create user-data/proxy/squid-conf << attachment/shared, attachment/tenant/client-b, server/proxy",
				"create power/proxy << attachment/shared, attachment/tenant/client-b, private-nic/proxy, server/proxy, user-data/proxy/cloud-init, user-data/proxy/squid-conf, volume/proxy",
			},
		},
		"two of everything that has no network": {
			touch: func(m *memory) {
				double[*VPC](m, "vpc")
				double[*Gateway](m, "gateway")
				double[*Cluster](m, "cluster")
				double[*Pool](m, "pool/system")
				double[*Registry](m, "registry")
			},
			want: []string{
				"delete vpc vpc-1-double; one of several for one purpose; the oldest stays",
				"delete gateway gateway-1-double; one of several for one purpose; the oldest stays",
				"delete pool/system pool-1-double; one of several for one purpose; the oldest stays",
				"delete cluster cluster-1-double; one of several for one purpose; the oldest stays << delete pool/system pool-1-double",
				"delete registry registry-1-double; one of several for one purpose; the oldest stays",
			},
		},
		"attachment to a younger gateway": {
			touch: func(m *memory) {
				second := double[*Gateway](m, "gateway")
				of[*GatewayNetwork](m, "gateway-network").Gateway = second
			},
			want: []string{
				"delete gateway-network gateway-network-1; to be replaced",
				"delete gateway gateway-1-double; one of several for one purpose; the oldest stays << delete gateway-network gateway-network-1",
				"replace gateway-network; gateway: gateway-1-double -> gateway-1 << delete gateway-network gateway-network-1",
			},
		},
		"network in a younger VPC": {
			touch: func(m *memory) {
				second := double[*VPC](m, "vpc")
				second.CreatedAt = second.CreatedAt.Add(-2 * time.Hour) // so that it is the older one
			},
			want: []string{
				"delete gateway-network gateway-network-1; to be replaced",
				"delete private-nic/proxy private-nic-1; to be replaced",
				"delete private-ip/proxy private-ip-1; to be replaced << delete private-nic/proxy private-nic-1",
				"delete private-ip/proxy-spare private-ip-2; to be replaced",
				"delete pool/system pool-1; to be replaced",
				"delete pool/client-a pool-2; to be replaced",
				"delete cluster cluster-1; to be replaced << delete pool/client-a pool-2, delete pool/system pool-1",
				"delete private-network private-network-1; to be replaced << delete cluster cluster-1, delete gateway-network gateway-network-1, delete pool/client-a pool-2, delete pool/system pool-1, delete private-ip/proxy private-ip-1, delete private-ip/proxy-spare private-ip-2, delete private-nic/proxy private-nic-1",
				"delete vpc vpc-1; one of several for one purpose; the oldest stays << delete private-network private-network-1",
				"replace private-network; vpc: vpc-1 -> vpc-1-double << delete private-network private-network-1",
				"replace gateway-network; network: private-network-1 -> (known after apply) << delete gateway-network gateway-network-1, private-network",
				"replace private-ip/proxy; network: private-network-1 -> (known after apply) << delete private-ip/proxy private-ip-1, private-network",
				"replace private-ip/proxy-spare; network: private-network-1 -> (known after apply) << delete private-ip/proxy-spare private-ip-2, private-ip/proxy, private-network",
				"replace private-nic/proxy; network: private-network-1 -> (known after apply); private IP: private-ip-1 -> (known after apply) << delete private-nic/proxy private-nic-1, private-ip/proxy, private-network",
				"replace cluster; network: private-network-1 -> (known after apply) << delete cluster cluster-1, private-network",
				"replace pool/system; cluster: cluster-1 -> (known after apply) << cluster, delete pool/system pool-1",
				"replace pool/client-a; cluster: cluster-1 -> (known after apply) << cluster, delete pool/client-a pool-2",
			},
		},
		"second machine": {
			before: machines(1), after: machines(2),
			want: []string{
				"create security-group/proxy-2",
				"create flexible-ip/proxy-2/shared << security-group/proxy-2",
				"create flexible-ip/proxy-2/tenant/client-b << security-group/proxy-2",
				"create private-ip/proxy-2",
				"create server/proxy-2 << security-group/proxy-2",
				"create volume/proxy-2 << server/proxy-2",
				"create private-nic/proxy-2 << private-ip/proxy-2, server/proxy-2",
				"create attachment/proxy-2/shared << flexible-ip/proxy-2/shared, server/proxy-2",
				"create attachment/proxy-2/tenant/client-b << flexible-ip/proxy-2/tenant/client-b, server/proxy-2",
				"create user-data/proxy-2/cloud-init << server/proxy-2",
				"create user-data/proxy-2/squid-conf << attachment/proxy-2/shared, attachment/proxy-2/tenant/client-b, flexible-ip/proxy-2/shared, flexible-ip/proxy-2/tenant/client-b, server/proxy-2",
				"create power/proxy-2 << attachment/proxy-2/shared, attachment/proxy-2/tenant/client-b, private-nic/proxy-2, server/proxy-2, user-data/proxy-2/cloud-init, user-data/proxy-2/squid-conf, volume/proxy-2",
				"delete private-ip/proxy-spare private-ip-2; not wanted any more",
			},
		},
		"second machine is not wanted any more": {
			before: machines(2), after: machines(1),
			want: []string{
				"create private-ip/proxy-spare",
				"drain server/proxy-2 server-2",
				"delete server/proxy-2 server-2; not wanted any more << drain server/proxy-2 server-2",
				"delete flexible-ip/proxy-2/shared flexible-ip-3; not wanted any more << delete server/proxy-2 server-2",
				"delete flexible-ip/proxy-2/tenant/client-b flexible-ip-4; not wanted any more << delete server/proxy-2 server-2",
				"delete security-group/proxy-2 security-group-2; not wanted any more << delete flexible-ip/proxy-2/shared flexible-ip-3, delete flexible-ip/proxy-2/tenant/client-b flexible-ip-4, delete server/proxy-2 server-2",
				"delete private-ip/proxy-2 private-ip-2; not wanted any more << delete server/proxy-2 server-2",
			},
		},
		"second machine in the zone of the first": {
			before: machines(1), after: func(s *Spec) { machines(2)(s); s.Proxy.Zones = nil },
			want: []string{
				"create flexible-ip/proxy-2/shared",
				"create flexible-ip/proxy-2/tenant/client-b",
				"create private-ip/proxy-2",
				"create server/proxy-2",
				"create volume/proxy-2 << server/proxy-2",
				"create private-nic/proxy-2 << private-ip/proxy-2, server/proxy-2",
				"create attachment/proxy-2/shared << flexible-ip/proxy-2/shared, server/proxy-2",
				"create attachment/proxy-2/tenant/client-b << flexible-ip/proxy-2/tenant/client-b, server/proxy-2",
				"create user-data/proxy-2/cloud-init << server/proxy-2",
				"create user-data/proxy-2/squid-conf << attachment/proxy-2/shared, attachment/proxy-2/tenant/client-b, flexible-ip/proxy-2/shared, flexible-ip/proxy-2/tenant/client-b, server/proxy-2",
				"create power/proxy-2 << attachment/proxy-2/shared, attachment/proxy-2/tenant/client-b, private-nic/proxy-2, server/proxy-2, user-data/proxy-2/cloud-init, user-data/proxy-2/squid-conf, volume/proxy-2",
				"delete private-ip/proxy-spare private-ip-2; not wanted any more",
			},
		},
		"second machine in another zone": {
			before: machines(2), after: func(s *Spec) { machines(2)(s); s.Proxy.Zones = []string{"fr-par-1", "fr-par-3"} },
			want: []string{
				"create security-group/proxy-2",
				"create flexible-ip/proxy-2/shared << security-group/proxy-2",
				"create flexible-ip/proxy-2/tenant/client-b << security-group/proxy-2",
				"drain server/proxy-2 server-2",
				"delete server/proxy-2 server-2; to be replaced << drain server/proxy-2 server-2",
				"replace server/proxy-2; zone: fr-par-2 -> fr-par-3; security group: security-group-2 -> (known after apply); cloud-init << delete server/proxy-2 server-2, security-group/proxy-2",
				"create volume/proxy-2 << server/proxy-2",
				"create private-nic/proxy-2 << server/proxy-2",
				"create attachment/proxy-2/shared << flexible-ip/proxy-2/shared, server/proxy-2",
				"create attachment/proxy-2/tenant/client-b << flexible-ip/proxy-2/tenant/client-b, server/proxy-2",
				"create user-data/proxy-2/cloud-init << server/proxy-2",
				"create user-data/proxy-2/squid-conf << attachment/proxy-2/shared, attachment/proxy-2/tenant/client-b, flexible-ip/proxy-2/shared, flexible-ip/proxy-2/tenant/client-b, server/proxy-2",
				"create power/proxy-2 << attachment/proxy-2/shared, attachment/proxy-2/tenant/client-b, private-nic/proxy-2, server/proxy-2, user-data/proxy-2/cloud-init, user-data/proxy-2/squid-conf, volume/proxy-2",
				"delete flexible-ip/proxy-2/shared flexible-ip-3; not wanted any more << delete server/proxy-2 server-2, user-data/proxy-2/cloud-init, user-data/proxy-2/squid-conf",
				"delete flexible-ip/proxy-2/tenant/client-b flexible-ip-4; not wanted any more << delete server/proxy-2 server-2, user-data/proxy-2/cloud-init, user-data/proxy-2/squid-conf",
				"delete security-group/proxy-2 security-group-2; not wanted any more << delete flexible-ip/proxy-2/shared flexible-ip-3, delete flexible-ip/proxy-2/tenant/client-b flexible-ip-4, delete server/proxy-2 server-2",
			},
		},
		"second machine is gone": {
			before: machines(2), after: machines(2),
			touch: func(m *memory) { m.remove(of[*Server](m, "server/proxy-2")) },
			want: []string{
				"create server/proxy-2",
				"create volume/proxy-2 << server/proxy-2",
				"create private-nic/proxy-2 << server/proxy-2",
				"create attachment/proxy-2/shared << server/proxy-2",
				"create attachment/proxy-2/tenant/client-b << server/proxy-2",
				"create user-data/proxy-2/cloud-init << server/proxy-2",
				"create user-data/proxy-2/squid-conf << attachment/proxy-2/shared, attachment/proxy-2/tenant/client-b, server/proxy-2",
				"create power/proxy-2 << attachment/proxy-2/shared, attachment/proxy-2/tenant/client-b, private-nic/proxy-2, server/proxy-2, user-data/proxy-2/cloud-init, user-data/proxy-2/squid-conf, volume/proxy-2",
				"delete volume/volume-of-server-2 volume-of-server-2; not wanted any more",
			},
		},
		"type of two servers": {
			before: machines(2), after: func(s *Spec) { machines(2)(s); s.Proxy.Type = "PLAY2-MICRO" },
			want: []string{
				"drain server/proxy server-1",
				"delete server/proxy server-1; to be replaced << drain server/proxy server-1",
				"replace server/proxy; type: PLAY2-NANO -> PLAY2-MICRO << delete server/proxy server-1",
				"create volume/proxy << server/proxy",
				"create private-nic/proxy << server/proxy",
				"create attachment/shared << server/proxy",
				"create attachment/tenant/client-b << server/proxy",
				"create user-data/proxy/cloud-init << server/proxy",
				"create user-data/proxy/squid-conf << attachment/shared, attachment/tenant/client-b, server/proxy",
				"create power/proxy << attachment/shared, attachment/tenant/client-b, private-nic/proxy, server/proxy, user-data/proxy/cloud-init, user-data/proxy/squid-conf, volume/proxy",
				"drain server/proxy-2 server-2 << power/proxy, user-data/proxy/cloud-init, user-data/proxy/squid-conf",
				"delete server/proxy-2 server-2; to be replaced << drain server/proxy-2 server-2, power/proxy, user-data/proxy/cloud-init, user-data/proxy/squid-conf",
				"replace server/proxy-2; type: PLAY2-NANO -> PLAY2-MICRO << delete server/proxy-2 server-2",
				"create volume/proxy-2 << server/proxy-2",
				"create private-nic/proxy-2 << server/proxy-2",
				"create attachment/proxy-2/shared << server/proxy-2",
				"create attachment/proxy-2/tenant/client-b << server/proxy-2",
				"create user-data/proxy-2/cloud-init << server/proxy-2",
				"create user-data/proxy-2/squid-conf << attachment/proxy-2/shared, attachment/proxy-2/tenant/client-b, server/proxy-2",
				"create power/proxy-2 << attachment/proxy-2/shared, attachment/proxy-2/tenant/client-b, private-nic/proxy-2, server/proxy-2, user-data/proxy-2/cloud-init, user-data/proxy-2/squid-conf, volume/proxy-2",
			},
		},
		"two machines exchange their addresses": {
			before: machines(2), after: func(s *Spec) { machines(2)(s); slices.Reverse(s.Proxy.PrivateIPs) },
			want: []string{
				"delete server/proxy server-1; to be replaced",
				"delete private-ip/proxy private-ip-1; to be replaced << delete server/proxy server-1",
				"delete server/proxy-2 server-2; to be replaced",
				"delete private-ip/proxy-2 private-ip-2; to be replaced << delete server/proxy-2 server-2",
				"replace private-ip/proxy; address: 172.16.28.8 -> 172.16.28.28 << delete private-ip/proxy private-ip-1, delete private-ip/proxy-2 private-ip-2",
				"replace server/proxy; cloud-init << delete server/proxy server-1",
				"create volume/proxy << server/proxy",
				"create private-nic/proxy << private-ip/proxy, server/proxy",
				"create attachment/shared << server/proxy",
				"create attachment/tenant/client-b << server/proxy",
				"create user-data/proxy/cloud-init << server/proxy",
				"create user-data/proxy/squid-conf << attachment/shared, attachment/tenant/client-b, server/proxy",
				"create power/proxy << attachment/shared, attachment/tenant/client-b, private-nic/proxy, server/proxy, user-data/proxy/cloud-init, user-data/proxy/squid-conf, volume/proxy",
				"replace private-ip/proxy-2; address: 172.16.28.28 -> 172.16.28.8 << delete private-ip/proxy private-ip-1, delete private-ip/proxy-2 private-ip-2",
				"replace server/proxy-2; cloud-init << delete server/proxy-2 server-2",
				"create volume/proxy-2 << server/proxy-2",
				"create private-nic/proxy-2 << private-ip/proxy-2, server/proxy-2",
				"create attachment/proxy-2/shared << server/proxy-2",
				"create attachment/proxy-2/tenant/client-b << server/proxy-2",
				"create user-data/proxy-2/cloud-init << server/proxy-2",
				"create user-data/proxy-2/squid-conf << attachment/proxy-2/shared, attachment/proxy-2/tenant/client-b, server/proxy-2",
				"create power/proxy-2 << attachment/proxy-2/shared, attachment/proxy-2/tenant/client-b, private-nic/proxy-2, server/proxy-2, user-data/proxy-2/cloud-init, user-data/proxy-2/squid-conf, volume/proxy-2",
			},
		},
	}
}
