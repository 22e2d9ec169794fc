package environment

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/hack/local/machine"
	"egress.scw/hack/local/network"
)

// recorder records calls and does nothing else.
type recorder struct {
	calls []string
	// booted are the configurations of the boots.
	booted []machine.Config
	// routed are the machines that addresses were led to.
	routed map[netip.Addr]string
	// removeErr is the error that remove returns.
	removeErr error
}

func (r *recorder) boot(_ context.Context, config machine.Config) error {
	r.calls = append(r.calls, "boot "+config.NICs[1].MAC)
	r.booted = append(r.booted, config)
	return nil
}

func (r *recorder) stop(context.Context, machine.Config) error {
	r.calls = append(r.calls, "stop")
	return nil
}

func (r *recorder) remove(context.Context, machine.Config) error {
	r.calls = append(r.calls, "remove")
	return r.removeErr
}

func (r *recorder) route(_ context.Context, config machine.Config, address netip.Addr) error {
	r.routed[address] = config.Name
	return nil
}

func (r *recorder) withdraw(_ context.Context, _ machine.Config, address netip.Addr) error {
	delete(r.routed, address)
	return nil
}

// existing are the IDs of the servers in the API.
type existing []string

func (e existing) Inventory() []scwfake.Item {
	items := []scwfake.Item{{Kind: "flexible-ip", ID: "address"}}
	for _, id := range e {
		items = append(items, scwfake.Item{Kind: "server", ID: id})
	}
	return items
}

func (existing) SetUserData(string, string, []byte) error { return nil }

// did returns the calls since its last call.
func (r *recorder) did() []string {
	calls := r.calls
	r.calls = nil
	return calls
}

// bootable is a server with everything that a machine needs. Its NIC is
// identified by its ID. All of them have one name: they replace each other.
func bootable(id string) scwfake.Machine { return named("local-proxy", id) }

func named(name, id string) scwfake.Machine {
	return scwfake.Machine{
		ID: id, Name: name, PublicIPs: []netip.Addr{netip.MustParseAddr("203.0.113.50")},
		NICs: []scwfake.MachineNIC{{MAC: "nic-of-" + id, Addresses: []netip.Prefix{netip.MustParsePrefix("172.16.28.8/22")}}},
	}
}

func newMachines() (*machines, *recorder) {
	driver := &recorder{routed: map[netip.Addr]string{}}
	return &machines{plan: network.DefaultPlan(), log: slog.New(slog.DiscardHandler), driver: driver, api: existing{"one", "two", "three"}}, driver
}

// A new server never boots from the disk of the previous one, even if removing
// that disk failed at first, or the new server was changed in between.
func TestServersDoNotShareADisk(t *testing.T) {
	machines, driver := newMachines()
	machines.PowerOn(bootable("old"))
	machines.PowerOn(bootable("old"))
	if diff := cmp.Diff([]string{"boot nic-of-old", "boot nic-of-old"}, driver.did()); diff != "" {
		t.Errorf("a server powered on again, -want +got:\n%s", diff)
	}
	driver.removeErr = errors.New("it is busy")
	machines.PowerOn(bootable("new"))
	machines.Changed(bootable("new"))
	if diff := cmp.Diff([]string{"remove"}, driver.did()); diff != "" {
		t.Errorf("a disk that cannot be removed, -want +got:\n%s", diff)
	}
	driver.removeErr = nil
	machines.PowerOn(bootable("new"))
	machines.PowerOn(bootable("new"))
	if diff := cmp.Diff([]string{"remove", "boot nic-of-new", "boot nic-of-new"}, driver.did()); diff != "" {
		t.Errorf("the next attempts, -want +got:\n%s", diff)
	}
}

// The API may report a replaced server after it has reported the new one.
func TestPowerOffIsForOneServer(t *testing.T) {
	machines, driver := newMachines()
	machines.PowerOff("old")
	machines.PowerOn(bootable("old"))
	machines.PowerOn(bootable("new"))
	machines.Changed(bootable("old"))
	machines.PowerOff("old")
	if diff := cmp.Diff([]string{"boot nic-of-old", "remove", "boot nic-of-new"}, driver.did()); diff != "" {
		t.Errorf("the old one is powered off, -want +got:\n%s", diff)
	}
	if got := machines.get(1).ID; got != "new" {
		t.Errorf("the machine gets the metadata of server %s", got)
	}
	machines.PowerOff("new")
	if diff := cmp.Diff([]string{"stop"}, driver.did()); diff != "" {
		t.Errorf("the new one is powered off, -want +got:\n%s", diff)
	}
}

// Several servers run at a time, and each keeps its place.
func TestServersOfSeveralNames(t *testing.T) {
	machines, driver := newMachines()
	machines.PowerOn(named("local-proxy", "one"))
	machines.PowerOn(named("local-proxy-2", "two"))
	machines.PowerOff("one")
	machines.PowerOn(named("local-proxy-2", "three"))
	machines.PowerOn(named("local-proxy", "one"))
	machines.PowerOn(named("local-proxy-3", "four"))
	if diff := cmp.Diff([]string{"boot nic-of-one", "boot nic-of-two", "stop", "remove", "boot nic-of-three", "boot nic-of-one"}, driver.did()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var names []string
	for _, config := range driver.booted {
		names = append(names, config.Name)
	}
	if diff := cmp.Diff([]string{"local", "local-2", "local-2", "local"}, names); diff != "" {
		t.Errorf("places, -want +got:\n%s", diff)
	}
	if one, two := driver.booted[0], driver.booted[1]; one.Netns == two.Netns || one.NICs[0].MAC == two.NICs[0].MAC {
		t.Error("two machines share a network namespace or the address of a NIC")
	}
}

// A flexible address leads to the machine that it is attached to, also if that one has
// booted before.
func TestAddressesLeadToTheirMachines(t *testing.T) {
	machines, driver := newMachines()
	machines.PowerOn(bootable("one"))
	second := named("local-proxy-spare", "two")
	second.PublicIPs = []netip.Addr{netip.MustParseAddr("203.0.113.51")}
	machines.PowerOn(second)
	second.PublicIPs = append(second.PublicIPs, netip.MustParseAddr("203.0.113.50"))
	machines.Changed(second)
	want := map[netip.Addr]string{netip.MustParseAddr("203.0.113.50"): "local-2", netip.MustParseAddr("203.0.113.51"): "local-2"}
	if !maps.Equal(driver.routed, want) {
		t.Errorf("addresses lead to %v, want %v", driver.routed, want)
	}
}

// An address that is detached leads to no machine, until a server has it again: the same, or
// one that replaces it.
func TestDetachedAddressesLeadNowhere(t *testing.T) {
	machines, driver := newMachines()
	address := netip.MustParseAddr("203.0.113.51")
	with := func(server scwfake.Machine, addresses ...netip.Addr) scwfake.Machine {
		server.PublicIPs = append(server.PublicIPs[:1:1], addresses...)
		return server
	}
	one, two, again := bootable("one"), named("local-proxy-2", "two"), bootable("three")
	two.PublicIPs = []netip.Addr{netip.MustParseAddr("203.0.113.52")}
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"the first boot", func() { machines.PowerOn(with(one, address)) }, "local"},
		{"detached", func() { machines.Changed(with(one)) }, ""},
		{"attached", func() { machines.Changed(with(one, address)) }, "local"},
		{"detached again", func() { machines.Changed(with(one)) }, ""},
		{"the boot of another server", func() { machines.PowerOn(with(two, address)) }, "local-2"},
		{"the first server, which no longer has it", func() { machines.Changed(with(one)) }, "local-2"},
		{"detached from the other", func() { machines.Changed(with(two)) }, ""},
		{"the boot of a server that replaces the first", func() { machines.PowerOn(with(again, address)) }, "local"},
	} {
		if step.do(); driver.routed[address] != step.want {
			t.Errorf("%s: it leads to %q, want %q", step.name, driver.routed[address], step.want)
		}
	}
}

// A server that was deleted gives its place to one of another name.
func TestDeletedServersLeaveTheirPlaces(t *testing.T) {
	machines, driver := newMachines()
	machines.PowerOn(named("local-proxy", "one"))
	machines.PowerOn(named("local-proxy-spare", "two"))
	machines.PowerOff("two")
	machines.api = existing{"one", "three"}
	machines.PowerOn(named("local-proxy-2", "three"))
	if diff := cmp.Diff([]string{"boot nic-of-one", "boot nic-of-two", "stop", "remove", "boot nic-of-three"}, driver.did()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := driver.booted[2].Name; got != "local-2" {
		t.Errorf("it has booted as %s", got)
	}
}

// The metadata service answers each machine with its own user data.
func TestMetadataOfSeveralServers(t *testing.T) {
	machines, _ := newMachines()
	for i, name := range []string{"local-proxy", "local-proxy-2"} {
		server := named(name, name)
		server.PublicIPs = []netip.Addr{netip.AddrFrom4([4]byte{203, 0, 113, byte(50 + i)})}
		server.UserData = map[string][]byte{"key": []byte(name)}
		machines.PowerOn(server)
	}
	for from, want := range map[string]string{"203.0.113.50:80": "local-proxy", "203.0.113.51:80": "local-proxy-2", "203.0.113.52:80": "no server has the address 203.0.113.52:80\n"} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/user_data/key", http.NoBody)
		request.RemoteAddr = from
		recorder := httptest.NewRecorder()
		machines.metadata().ServeHTTP(recorder, request)
		if got := recorder.Body.String(); got != want {
			t.Errorf("a request of %s is answered with %q, want %q", from, got, want)
		}
	}
}
