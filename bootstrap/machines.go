package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"egress.scw/bootstrap/scaleway"
	"egress.scw/bootstrap/stack"
	"egress.scw/cloudinit"
)

const (
	// statusPatience is the maximum time for which apply waits until a machine reports
	// that it serves its squid.conf. A machine is a proxy within a minute of its first
	// boot, and follows a new squid.conf within some seconds.
	statusPatience = 2 * time.Minute
	// replacePatience is the same for a machine that was replaced, before the next one is: a
	// machine that does not come up stops the replacement of the others.
	replacePatience = 5 * time.Minute
	// statusInterval is the time between two looks at it.
	statusInterval = time.Second
)

// machineValues is a proxy machine in the values of the chart.
type machineValues struct {
	// Address is the private address of the machine.
	Address string `json:"address"`
	// Certificate is the certificate (PEM) that sidecars trust on this address.
	Certificate string `json:"certificate"`
}

// machineStatus is the state of a proxy machine.
type machineStatus struct {
	Role    string `json:"role"`
	Address string `json:"address"`
	// Status is the report of the machine. Nil: it has not reported yet.
	Status *cloudinit.Status `json:"status,omitempty"`
	// Live is whether it serves the squid.conf that egress.yaml describes. It is false as
	// well while a plan still has to write that into the machine's user data.
	Live bool `json:"live"`
	// KnownHosts are the lines of a known_hosts file for SSH to the machine's shared egress
	// address. Empty without SSH.
	KnownHosts []string `json:"knownHosts,omitempty"`
	// Problem is the reason for which its report cannot be read.
	Problem string `json:"problem,omitempty"`

	wanted      string // the digest of the squid.conf in its user data
	uncertified bool   // it must serve sidecars, and has no certificate yet
}

// machineOf returns the machine with a role; the first one without a role.
func machineOf(graph *stack.Graph, role string) (*stack.ProxyMachine, error) {
	var roles []string
	for _, proxy := range graph.Proxies {
		if role == "" || proxy.Role == role {
			return proxy, nil
		}
		roles = append(roles, proxy.Role)
	}
	return nil, fmt.Errorf("there is no machine %q: with spec.proxy.replicas: %d there is %s", role, len(roles), strings.Join(roles, ", "))
}

// readMachines reads the reports of the machines.
func readMachines(ctx context.Context, t *target, graph *stack.Graph) ([]machineStatus, error) {
	var machines []machineStatus
	var errs []error
	for _, proxy := range graph.Proxies {
		machine, err := readMachine(ctx, t, proxy)
		machines, errs = append(machines, machine), append(errs, err)
	}
	return machines, errors.Join(errs...)
}

// readMachine reads the report of a machine.
func readMachine(ctx context.Context, t *target, proxy *stack.ProxyMachine) (machineStatus, error) {
	machine := machineStatus{Role: proxy.Role, Address: addressText(proxy.PrivateIP.Address)}
	var err error
	if proxy.Server.ID != "" {
		var value []byte
		value, err = t.cloud.MachineStatus(ctx, proxy.Server)
		machine.read(value, proxy)
	}
	machine.uncertified = t.spec.Proxy.Identity.Sidecars() && (machine.Status == nil || machine.Status.Certificate == "")
	return machine, err
}

// read takes the report of a machine.
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
	if wanted, err := proxy.SquidConfValue(); err == nil {
		m.wanted = cloudinit.Digest(wanted)
	}
	m.KnownHosts = knownHostsOf(proxy, status.HostKeys)
	m.Live = m.wanted != "" && status.Served == m.wanted
}

// awaitMachines waits until each machine reports that it serves the squid.conf in its
// user data, at most for statusPatience: longer is a warning. A machine that refuses it
// is an error. Without --wait, it reads the reports once. The values need them: a
// machine that has just been created makes its certificate when it boots.
func (p *program) awaitMachines(ctx context.Context, t *target, graph *stack.Graph, result *applied) error {
	var deadline time.Time
	for waits := false; ; waits = true {
		machines, err := readMachines(ctx, t, graph)
		if err != nil {
			return err
		}
		if !waits {
			deadline = time.Now().Add(p.patience())
		}
		result.Machines = machines
		waiting, refused := notLive(machines)
		switch {
		case refused != nil:
			return refused
		case len(waiting) == 0:
			return nil
		case !p.options.wait:
			return nil
		case time.Now().After(deadline):
			p.note("warning: within %s, %s did not report to serve the configuration: see %s", p.patience(), strings.Join(waiting, ", "), t.command("status"))
			return nil
		case !waits:
			p.note("waiting until the configuration is served by %s", strings.Join(waiting, ", "))
		}
		if err := scaleway.Sleep(ctx, min(statusInterval, p.patience())); err != nil {
			return err
		}
	}
}

// awaitLive returns the function that waits, at most for replacePatience, until a machine
// serves the squid.conf in its user data, before another one is replaced. The remedy ends
// the message of the machine that does not.
func (p *program) awaitLive(t *target, remedy string) func(context.Context, *stack.ProxyMachine, func(string)) error {
	return func(ctx context.Context, proxy *stack.ProxyMachine, report func(string)) error {
		deadline := time.Now().Add(cmp.Or(p.statusPatience, replacePatience))
		report(proxy.Role + " does not serve its configuration yet")
		for {
			machine, err := readMachine(ctx, t, proxy)
			if err != nil {
				return err
			}
			waiting, refused := notLive([]machineStatus{machine})
			if len(waiting) == 0 && refused == nil && isStale(machine.Status) {
				waiting = []string{fmt.Sprintf("%s (%s), which has not reported since %s", machine.Role, machine.Address, machine.Status.Time.Format(time.RFC3339))}
			}
			switch {
			case refused != nil:
				return fmt.Errorf("the machine is not replaced, because another one is not serving: %w", refused)
			case len(waiting) == 0:
				return nil
			case time.Now().After(deadline):
				return fmt.Errorf("the machine is not replaced, because %s does not report that it serves its configuration: see %s; %s",
					waiting[0], t.command("status"), remedy)
			}
			if err := scaleway.Sleep(ctx, min(statusInterval, cmp.Or(p.statusPatience, statusInterval))); err != nil {
				return err
			}
		}
	}
}

// isStale reports whether a machine reports no more: it does so every 10 minutes.
func isStale(status *cloudinit.Status) bool {
	const longest = 15 * time.Minute
	return status != nil && time.Since(status.Time) > longest
}

// patience is the time for which apply waits for the machines' reports.
func (p *program) patience() time.Duration { return cmp.Or(p.statusPatience, statusPatience) }

// notLive returns the machines that have not reported that they serve the squid.conf in
// their user data, and an error for those that refuse it.
func notLive(machines []machineStatus) (waiting []string, refused error) {
	var errs []error
	for _, machine := range machines {
		switch status := machine.Status; {
		case machine.Live && !machine.uncertified:
		case status != nil && status.Refused != "" && status.Refused == machine.wanted:
			errs = append(errs, fmt.Errorf("%s (%s) refuses its configuration, and serves the former one: %s", machine.Role, machine.Address, status.Reason))
		default:
			waiting = append(waiting, fmt.Sprintf("%s (%s)", machine.Role, machine.Address))
		}
	}
	return waiting, errors.Join(errs...)
}

// valuesOfMachines are the machines whose certificates are known.
func valuesOfMachines(machines []machineStatus) []machineValues {
	var values []machineValues
	for _, machine := range machines {
		if machine.Status != nil && machine.Status.Certificate != "" {
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
		case status.Connections != nil:
			squid, state = status.Squid, "drained, with "+plural(*status.Connections, "open connection")
		case machine.Live:
			squid, state = status.Squid, "live since "+status.Since.Format(time.RFC3339)
		default:
			squid, state = status.Squid, fmt.Sprintf("the new squid.conf was not live at %s", status.Time.Format(time.RFC3339))
		}
		rows = append(rows, []string{machine.Role, machine.Address, squid, state})
	}
	return rows
}
