package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"egress.scw/bootstrap/stack"
	"egress.scw/cloudinit"
)

const (
	// statusPatience is the maximum time for which apply waits for the first status of
	// a machine. A machine is a proxy within a minute of its first boot.
	statusPatience = 2 * time.Minute
	// statusInterval is the time between two looks at it.
	statusInterval = 2 * time.Second
)

// machineValues is a proxy machine in the values of the chart.
type machineValues struct {
	// Address is the private address of the machine.
	Address string `json:"address"`
	// Certificate is the certificate (PEM) that sidecars trust on this address.
	Certificate string `json:"certificate"`
}

// machineStatus is the state of a proxy machine that serves sidecars.
type machineStatus struct {
	Role    string `json:"role"`
	Address string `json:"address"`
	// Status is the report of the machine. Nil: it has not reported yet.
	Status *cloudinit.Status `json:"status,omitempty"`
	// Live is whether it serves the squid.conf in its user data.
	Live bool `json:"live"`
	// Problem is the reason for which its report cannot be read.
	Problem string `json:"problem,omitempty"`
}

// readMachines reads the reports of the machines. It returns nil if the proxy serves no
// sidecars.
func readMachines(ctx context.Context, t *target, graph *stack.Graph) ([]machineStatus, error) {
	if !t.spec.Proxy.Identity.Sidecars() {
		return nil, nil
	}
	var machines []machineStatus
	var errs []error
	for _, proxy := range graph.Proxies {
		machine := machineStatus{Role: proxy.Role, Address: addressText(proxy.PrivateIP.Address)}
		if proxy.Server.ID != "" {
			value, err := t.cloud.MachineStatus(ctx, proxy.Server)
			errs = append(errs, err)
			machine.read(value, proxy)
		}
		machines = append(machines, machine)
	}
	return machines, errors.Join(errs...)
}

func (m *machineStatus) read(value []byte, proxy *stack.ProxyMachine) {
	if value == nil {
		return
	}
	status, err := cloudinit.ParseStatus(value)
	if err != nil {
		m.Problem = err.Error()
		return
	}
	m.Status = status
	wanted, err := proxy.SquidConfValue()
	m.Live = err == nil && status.Served == cloudinit.Digest(wanted)
}

// awaitMachines reads the reports of the machines for the values. A machine that has
// just been created makes its certificate when it boots: apply waits for it, at most
// for statusPatience. Without it the values lack the machine, which is only a warning.
func (p *program) awaitMachines(ctx context.Context, t *target, graph *stack.Graph, result *applied) error {
	deadline := time.Now().Add(p.patience())
	for waits := false; ; waits = true {
		machines, err := readMachines(ctx, t, graph)
		if err != nil {
			return err
		}
		result.Machines = machines
		missing := unreported(machines)
		switch {
		case len(missing) == 0:
			return nil
		case time.Now().After(deadline):
			p.note("warning: %s have not reported their certificates, so sidecars cannot use them: run apply again later", strings.Join(missing, ", "))
			return nil
		case !waits:
			p.note("waiting for the certificates of %s", strings.Join(missing, ", "))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(statusInterval, p.patience())):
		}
	}
}

// patience is the time for which apply waits for a machine's first status.
func (p *program) patience() time.Duration { return cmp.Or(p.statusPatience, statusPatience) }

// unreported are the machines whose certificates are not known.
func unreported(machines []machineStatus) []string {
	var addresses []string
	for _, machine := range machines {
		if machine.Status == nil {
			addresses = append(addresses, machine.Address)
		}
	}
	return addresses
}

// valuesOfMachines are the machines whose certificates are known.
func valuesOfMachines(machines []machineStatus) []machineValues {
	var values []machineValues
	for _, machine := range machines {
		if machine.Status != nil {
			values = append(values, machineValues{machine.Address, machine.Status.Certificate})
		}
	}
	return values
}

// machineCells is the table of the machines.
func machineCells(machines []machineStatus) [][]string {
	if len(machines) == 0 {
		return nil
	}
	rows := [][]string{{"NAME", "ADDRESS", "SQUID", "STATE"}}
	for _, machine := range machines {
		squid, state := "-", "not reported"
		switch status := machine.Status; {
		case machine.Problem != "":
			state = machine.Problem
		case status == nil: // not reported
		case status.Refused != "":
			squid, state = status.Squid, "refused: "+status.Reason
		case machine.Live:
			squid, state = status.Squid, "live since "+status.Since.Format(time.RFC3339)
		default:
			squid, state = status.Squid, fmt.Sprintf("the new squid.conf was not live at %s", status.Time.Format(time.RFC3339))
		}
		rows = append(rows, []string{machine.Role, machine.Address, squid, state})
	}
	return rows
}
