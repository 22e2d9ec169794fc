package proxy

import (
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
	before := routing(t, vm)
	for _, nic := range []string{"ens2", "ens5"} {
		w.renew(t, vm, nic)
	}
	if w.image.Network == machine.Networkd {
		in(t, vm, "systemctl", "restart", "systemd-networkd.service")
	}
	// Whatever a client does with its lease, it does within moments.
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if diff := cmp.Diff(before, routing(t, vm)); diff != "" {
			t.Fatalf("routes, rules and name servers, -before the renewals +after:\n%s", diff)
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

// routing returns the default routes of both tables, the rules of routing, and the name
// servers. Other fields than these change with a lease.
func routing(t *testing.T, vm *machine.VM) string {
	t.Helper()
	return in(t, vm, "sh", "-ec", `
ip -4 route show default | sed 's/.* \(dev [^ ]*\).*/default \1/'
ip -4 route show table 100 2> /dev/null || true # which only flexible addresses have
ip rule show
if [ -S /run/systemd/resolve/io.systemd.Resolve ]; then resolvectl dns | grep '^Link'; else grep ^nameserver /etc/resolv.conf; fi`)
}
