package environment

import (
	"context"
	"errors"
	"log/slog"
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
	// removeErr is the error that remove returns.
	removeErr error
}

func (r *recorder) boot(_ context.Context, config machine.Config) error {
	r.calls = append(r.calls, "boot "+config.NICs[1].MAC)
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

// did returns the calls since its last call.
func (r *recorder) did() []string {
	calls := r.calls
	r.calls = nil
	return calls
}

// bootable is a server with everything that a machine needs. Its NIC is
// identified by its ID.
func bootable(id string) scwfake.Machine {
	return scwfake.Machine{
		ID: id, PublicIPs: []netip.Addr{netip.MustParseAddr("203.0.113.50")},
		NICs: []scwfake.MachineNIC{{MAC: "nic-of-" + id, Addresses: []netip.Prefix{netip.MustParsePrefix("172.16.28.8/22")}}},
	}
}

func newMachines() (*machines, *recorder) {
	driver := &recorder{}
	return &machines{plan: network.DefaultPlan(), log: slog.New(slog.DiscardHandler), driver: driver}, driver
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
	if got := machines.get().ID; got != "new" {
		t.Errorf("the machine gets the metadata of server %s", got)
	}
	machines.PowerOff("new")
	if diff := cmp.Diff([]string{"stop"}, driver.did()); diff != "" {
		t.Errorf("the new one is powered off, -want +got:\n%s", diff)
	}
}
