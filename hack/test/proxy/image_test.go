package proxy

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"egress.scw/hack/local/machine"
	"egress.scw/hack/local/progress"
)

// imageName selects one image for all tests. Empty: each test has an image of its own,
// so that together they cover every release and every kind of network.
var imageName = flag.String("image", "", "image of the machine in all tests; one of "+fmt.Sprint(machine.Images()))

// imageOr returns the selected image, or the test's own.
func imageOr(t *testing.T, own machine.Image) machine.Image {
	t.Helper()
	if *imageName == "" {
		return own
	}
	image, err := machine.ParseImage(*imageName)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// rootfs returns an image's root filesystem, or skips the test.
func rootfs(t *testing.T, image machine.Image) machine.RootFS {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: only root can boot a machine")
	}
	for _, program := range []string{"mmdebstrap", "systemd-nspawn", "dnsmasq", "nft", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("skipped: %v (make deps installs it)", err)
		}
	}
	result, err := machine.MakeRootFS(t.Context(), image, progress.New(os.Stderr))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// dhcpClient waits until a process keeps the lease of a NIC, and returns it. One that was
// started again has no lease for a moment.
func (w *world) dhcpClient(t *testing.T, vm *machine.VM, nic string) (client string) {
	t.Helper()
	argv, known := map[machine.Network][]string{
		machine.Dhclient: {"pgrep", "--full", "^dhclient .* " + nic + "$"}, // not the script that each renewal runs
		machine.Dhcpcd:   {"sh", "-ec", "pid=$(cat /run/dhcpcd/" + nic + ".pid); kill -0 $pid; echo $pid"},
		machine.Networkd: {"sh", "-ec", "[ -s /run/systemd/netif/leases/$(cat /sys/class/net/" + nic + "/ifindex) ]; systemctl is-active systemd-networkd"},
	}[w.image.Network]
	if !known {
		t.Fatalf("image %s", w.image)
	}
	eventually(t, "the DHCP client of "+nic, func() (err error) {
		client, err = vm.Exec(t.Context(), argv...)
		return err
	})
	return strings.TrimSpace(client)
}

// renew has the DHCP client of a NIC ask for its lease again.
func (w *world) renew(t *testing.T, vm *machine.VM, nic string) {
	t.Helper()
	log := w.environment.LogFile("machine-" + machine.TestName + "-dhcp-" + nic)
	leases := func() int {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(text), "DHCPACK")
	}
	before := leases()
	switch w.image.Network {
	case machine.Dhclient: // it cannot be told to renew; another one runs the same script
		// It writes its number some time after it has the lease.
		in(t, vm, "sh", "-ec", "rm -f /run/renewal.pid; dhclient -1 -pf /run/renewal.pid -lf /run/renewal.leases "+nic+
			"; until [ -s /run/renewal.pid ]; do sleep 0.1; done; kill $(cat /run/renewal.pid)")
	case machine.Dhcpcd:
		in(t, vm, "dhcpcd", "--renew", nic)
	case machine.Networkd:
		in(t, vm, "networkctl", "renew", nic)
	}
	eventually(t, "a new lease of "+nic, func() error {
		if leases() == before {
			return fmt.Errorf("the server has answered %d requests, as before", before)
		}
		return nil
	})
}
