package environment

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"egress.scw/cloudinit"
	"egress.scw/hack/local/machine"
	"egress.scw/hack/local/network"
	"egress.scw/hack/local/process"
)

// places is the number of proxy machines that the environment has room for.
const places = 2

// machineName returns the name of the machine of a place, from 1 on.
func machineName(place int) string {
	if place == 1 {
		return "local"
	}
	return fmt.Sprintf("local-%d", place)
}

// packagesName is the host name of the package repository for the proxy's
// machine.
const packagesName = "packages.example"

// AuditLog is the audit log of the first proxy machine: one JSON object per line, one
// line per request.
func (e *Environment) AuditLog() string { return e.AuditLogOf(1) }

// AuditLogOf is the audit log of a proxy machine, from 1 on.
func (e *Environment) AuditLogOf(place int) string {
	return filepath.Join(machineConfig(e.Plan, place).Disk(), cloudinit.AuditLog)
}

// Machine returns the first proxy machine, once it runs.
func (e *Environment) Machine(ctx context.Context) (*machine.VM, error) { return e.MachineOf(ctx, 1) }

// MachineOf returns a proxy machine, from 1 on, once it runs.
func (e *Environment) MachineOf(ctx context.Context, place int) (*machine.VM, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		vm, err := machine.Open(ctx, machineConfig(e.Plan, place))
		if err == nil {
			return vm, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, fmt.Errorf("the end of the fake Scaleway API's log:\n%s", e.processes.Tail(processScaleway)))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// machineConfig is the configuration of the machine of a place, as far as it is known
// before the machine exists. Its public NIC is on the internet's edge, its private NIC
// on the Private Network.
func machineConfig(plan network.Plan, place int) machine.Config {
	namespace, upstream := network.Proxy, plan.Resolver
	if place > 1 {
		// The gateway's address has one resolver, that of the first place.
		namespace, upstream = network.FurtherProxy(place), netip.Addr{}
	}
	return machine.Config{
		Environment: process.Environment(Dir), Name: machineName(place), PackagesURL: "http://" + packagesName, Netns: plan.Netns(namespace),
		NICs: []machine.NIC{
			{
				Name: "ens2", MAC: fmt.Sprintf("de:00:00:1c:00:%02x", 7+place), Netns: plan.Netns(network.Internet), Bridge: network.Edge,
				DHCP: machine.DHCP{Router: plan.EdgeRouter(), NameServer: plan.Resolver},
			},
			{
				Name: "ens5", Netns: plan.Netns(network.Gateway), Bridge: network.PrivateBridge,
				DHCP: machine.DHCP{Router: plan.GatewayPrivate, Classless: true, NameServer: plan.GatewayPrivate, Upstream: upstream},
			},
		},
	}
}

// removeMachines removes all proxy machines, with their disks.
func removeMachines(ctx context.Context, plan network.Plan) error {
	var errs []error
	for place := range places {
		errs = append(errs, machine.Remove(ctx, machineConfig(plan, place+1)))
	}
	return errors.Join(errs...)
}
