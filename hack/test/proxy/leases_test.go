package proxy

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/cloudinit"
	"egress.scw/hack/local/machine"
)

// TestNetworkdBehindGateway boots the image whose network is netplan's, with requests
// that leave through the Public Gateway. After a reboot, too, only the private NIC has
// a default route.
func TestNetworkdBehindGateway(t *testing.T) {
	w := newWorld(t, machine.Image{Release: machine.Trixie, Network: machine.Networkd})
	tenants := allShared()
	vm := w.boot(t, cloudinit.SourceGateway, tenants)
	check := func() {
		w.checkServices(t, vm)
		w.checkAddresses(t, gatewayPublic, gatewayPublic)
		w.checkLeases(t, vm)
	}
	check()
	if err := vm.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wait(t, vm)
	check()
}

// checkLeases renews the leases of both NICs, and restarts networkd, which needrestart
// does, while egress-net repairs nothing: the routes, rules and name servers stay.
func (w *world) checkLeases(t *testing.T, vm *machine.VM) {
	t.Helper()
	defer repairNothing(t, vm)()
	routes, servers := settledNetwork(t, vm)
	for _, nic := range []string{"ens2", "ens5"} {
		w.renew(t, vm, nic)
	}
	checkStays(t, "name servers", servers, func() string { return nameServers(t, vm) })
	if w.image.Network == machine.Networkd {
		in(t, vm, "systemctl", "restart", "systemd-networkd.service")
	}
	checkStays(t, "routes and rules", routes, func() string { return routing(t, vm) })
	checkNameServersReturn(t, vm, servers)
}

// settledNetwork returns the routing and the name servers once they stay as they are: DHCP
// clients may not have finished with the leases of the boot.
func settledNetwork(t *testing.T, vm *machine.VM) (routes, servers string) {
	t.Helper()
	eventually(t, "routes and name servers that stay as they are", func() error {
		before := routes + "\n" + servers
		time.Sleep(time.Second)
		routes, servers = routing(t, vm), nameServers(t, vm)
		if diff := cmp.Diff(before, routes+"\n"+servers); diff != "" {
			return fmt.Errorf("-before +after:\n%s", diff)
		}
		return nil
	})
	return routes, servers
}

// checkNameServersReturn waits for the name servers of before a restart of networkd,
// which has none until it has its lease again. Squid does not depend on them: squid.conf
// names its own.
func checkNameServersReturn(t *testing.T, vm *machine.VM, before string) {
	t.Helper()
	eventually(t, "name servers as before the restart", func() error {
		if diff := cmp.Diff(before, nameServers(t, vm)); diff != "" {
			return fmt.Errorf("-before +after:\n%s", diff)
		}
		return nil
	})
}

// checkStays watches a part of the network's state for the moments in which a DHCP
// client does whatever it does with a lease.
func checkStays(t *testing.T, what, before string, now func() string) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if diff := cmp.Diff(before, now()); diff != "" {
			t.Fatalf("%s, -before the renewals +after:\n%s", what, diff)
		}
	}
}

// repairNothing keeps egress-net from running, until the result is called.
func repairNothing(t *testing.T, vm *machine.VM) (resume func()) {
	t.Helper()
	const dropIn = "/run/systemd/system/egress-net.service.d"
	in(t, vm, "systemctl", "start", "egress-net.service") // also waits for a run that has begun
	in(t, vm, "sh", "-ec", "mkdir -p "+dropIn+"; printf '[Unit]\nConditionPathExists=/nonexistent\n' > "+dropIn+"/off.conf; systemctl daemon-reload")
	return func() {
		in(t, vm, "sh", "-ec", "rm -r "+dropIn+"; systemctl daemon-reload; systemctl start egress-net.service")
	}
}

// routing returns the default routes of both tables, and the rules of routing. Other
// fields than these change with a lease.
func routing(t *testing.T, vm *machine.VM) string {
	t.Helper()
	return in(t, vm, "sh", "-ec", `
ip -4 route show default | sed 's/.* \(dev [^ ]*\).*/default \1/'
ip -4 route show table 100 2> /dev/null || true # which only flexible addresses have
ip rule show`)
}

// nameServers returns the name servers of each NIC, or of the machine.
func nameServers(t *testing.T, vm *machine.VM) string {
	t.Helper()
	return in(t, vm, "sh", "-ec", `
if [ -S /run/systemd/resolve/io.systemd.Resolve ]; then resolvectl dns | grep '^Link'; else grep ^nameserver /etc/resolv.conf; fi`)
}
