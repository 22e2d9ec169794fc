package proxy

import (
	"context"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"egress.scw/bootstrap/config"
	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
	"egress.scw/cloudinit"
	"egress.scw/hack/local/machine"
	"egress.scw/hack/local/network"
	"egress.scw/webhook/api/v1alpha1"
)

// server is a proxy machine: its place in the networks, and its state in the API.
type server struct {
	// name is the name of the machine, and netns the network namespace with its NICs
	// before it boots.
	name, netns string
	// private is its address in the Private Network.
	private string
	// Its flexible addresses: that of all tenants without an address of their own,
	// that of the tenant of ownPort, and that of the tenant of strictPort.
	shared, own, strict   string
	publicMAC, privateMAC string
	// resolver is the server to which the DHCP server of its private NIC forwards DNS
	// queries. One machine has it for all: the gateway's address is one.
	resolver netip.Addr

	mu    sync.Mutex
	state scwfake.Machine
}

// firstServer is the machine of every test.
func firstServer() *server {
	return &server{
		name: machine.TestName, netns: network.TestPrefix + network.Proxy, private: proxyAddress,
		shared: sharedAddress, own: ownAddress, strict: strictAddress,
		publicMAC: "de:00:00:00:00:02", privateMAC: "02:00:00:00:00:05", resolver: netip.MustParseAddr(nameServer),
		state: scwfake.Machine{ID: "11111111-1111-1111-1111-111111111111", Name: "egress-proxy", Zone: "fr-par-1"},
	}
}

// secondServer is a second machine in the same Private Network.
func secondServer() *server {
	return &server{
		name: machine.TestSecondName, netns: network.TestPrefix + network.FurtherProxy(2), private: secondAddress,
		shared: secondShared, own: secondOwn, strict: secondStrict,
		publicMAC: "de:00:00:00:01:02", privateMAC: "02:00:00:00:01:05",
		state: scwfake.Machine{ID: "22222222-2222-2222-2222-222222222222", Name: "egress-proxy-2", Zone: "fr-par-2"},
	}
}

// flexible are its flexible addresses. DHCP assigns the first one.
func (s *server) flexible() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr(s.shared), netip.MustParseAddr(s.own), netip.MustParseAddr(s.strict)}
}

// addressOf returns the source address of a tenant's requests, if the machine has
// flexible addresses.
func (s *server) addressOf(tenant v1alpha1.Tenant) string {
	switch {
	case !tenant.HasDedicatedIP():
		return s.shared
	case tenant.Proxy.Port == ownPort:
		return s.own
	default:
		return s.strict
	}
}

func (s *server) machine() scwfake.Machine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// setSquidConf publishes a value for squid.conf in the machine's user data.
func (s *server) setSquidConf(value []byte) { s.setUserData(cloudinit.UserDataSquidConf, value) }

// setUserData sets a value of the machine's user data.
func (s *server) setUserData(key string, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := maps.Clone(s.state.UserData) // others may be reading the former data
	data[key] = value
	s.state.UserData = data
}

// metadata is the metadata service. It recognizes one of several machines by the source
// address. The requests of a machine behind the gateway can come from the gateway's.
func (w *world) metadata(sshKeys []string) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		at := slices.IndexFunc(w.servers, func(s *server) bool { return err == nil && slices.Contains(s.flexible(), from.Addr()) })
		if len(w.servers) == 1 {
			at = 0
		}
		if at < 0 {
			http.Error(rw, "no server has the address "+r.RemoteAddr, http.StatusForbidden)
			return
		}
		s := w.servers[at]
		machine.Metadata{Machine: s.machine, Gateway: netip.MustParseAddr(edgeRouter), SSHKeys: sshKeys, SetUserData: func(key string, value []byte) error {
			s.setUserData(key, value)
			return nil
		}}.Handler().ServeHTTP(rw, r)
	})
}

// squidConf returns the machine's squid.conf for these tenants, as bootstrap renders it.
func (s *server) squidConf(t *testing.T, proxy config.ProxyMachine, tenants []v1alpha1.Tenant) []byte {
	t.Helper()
	proxy.PrivateIP, proxy.NameServers = netip.MustParseAddr(s.private), []netip.Addr{netip.MustParseAddr(nameServer)}
	graph, err := stack.Desired(stack.Spec{Spec: config.Spec{
		Network: config.Network{CIDR: netip.MustParsePrefix(privateNetwork)}, Gateway: config.Gateway{Enabled: new(false)}, Tenants: tenants, Proxy: proxy,
	}})
	if err != nil {
		t.Fatal(err)
	}
	addresses := map[string]string{stack.RoleShared: s.shared}
	for _, tenant := range tenants {
		addresses[stack.RoleTenant(tenant.Name)] = s.addressOf(tenant)
	}
	for _, made := range graph.Proxies[0].Addresses {
		made.Address = netip.MustParseAddr(addresses[made.Role])
	}
	conf, err := graph.Proxies[0].SquidConf()
	if err != nil {
		t.Fatal(err)
	}
	return conf
}

// config returns the configuration of a machine.
func (w *world) config(s *server) machine.Config {
	address := netip.MustParseAddr
	return machine.Config{
		Environment: w.environment, Name: s.name, RootFS: w.rootfs, PackagesURL: "http://" + packageName, Netns: s.netns,
		NICs: []machine.NIC{
			{
				Name: "ens2", MAC: s.publicMAC, Netns: netnsInternet, Bridge: network.Edge,
				DHCP: machine.DHCP{Address: netip.PrefixFrom(address(s.shared), 32), Router: address(edgeRouter), NameServer: address(nameServer)},
			},
			{
				Name: "ens5", MAC: s.privateMAC, Netns: netnsGateway, Bridge: network.PrivateBridge,
				DHCP: machine.DHCP{
					Address: netip.PrefixFrom(address(s.private), 22), Router: address(gatewayPrivate), Classless: true,
					NameServer: address(gatewayPrivate), Upstream: s.resolver,
				},
			},
		},
	}
}

// powerOn starts the boot of a machine.
func (w *world) powerOn(t *testing.T, s *server, egress cloudinit.SourceAddress, tenants []v1alpha1.Tenant) *machine.VM {
	t.Helper()
	w.egress = egress
	w.setState(t, s, tenants)
	config := w.config(s)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the console of machine %s:\n%s\nand of its journal:\n%s", config.Name, w.environment.Tail("machine-"+config.Name), journal(config))
		}
		if err := machine.Remove(context.Background(), config); err != nil {
			t.Error(err)
		}
	})
	vm, err := machine.Boot(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

// setState sets the API's state of a machine that was never booted.
func (w *world) setState(t *testing.T, s *server, tenants []v1alpha1.Tenant) {
	t.Helper()
	var syslog *cloudinit.Syslog
	if w.logs != nil {
		syslog = &w.logs.config
	}
	text, err := cloudinit.Render(cloudinit.Machine{
		Hostname: s.state.Name, PrivateAddress: netip.MustParseAddr(s.private), PrivateNetwork: netip.MustParsePrefix(privateNetwork),
		SourceAddress: w.egress, NameServers: []netip.Addr{netip.MustParseAddr(nameServer)}, SSH: w.ssh, Syslog: syslog, Identity: w.identity,
	})
	if err != nil {
		t.Fatal(err)
	}
	conf := encoded(t, s.squidConf(t, config.ProxyMachine{SourceAddress: w.egress, Identity: w.identity}, tenants))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.UserData = map[string][]byte{cloudinit.UserDataCloudInit: text, cloudinit.UserDataSquidConf: conf}
	s.state.PublicIPs = s.flexible()
	if w.egress == cloudinit.SourceGateway {
		s.state.PublicIPs = s.state.PublicIPs[:1] // for the metadata service
	}
}
