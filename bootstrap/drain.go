package main

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"egress.scw/bootstrap/scaleway"
	"egress.scw/bootstrap/stack"
	"egress.scw/cloudinit"
)

const (
	// drainPatience is the maximum time for which a machine is waited for until it reports
	// that it serves its drained squid.conf, which it looks for every 2 s, or that it
	// refuses it, which it does after it has waited 30 s for Squid.
	drainPatience = time.Minute
	// settleTime is the time that a drained machine stays, so that no new connection is led
	// to it any more. The webhook's leader notices within 4 s that a machine does not tell
	// its state, and nodes follow the change of its EndpointSlices.
	settleTime = 8 * time.Second
)

// drained is a machine that was to leave the tenants' Services before it was taken away.
type drained struct {
	Role string `json:"role"`
	// Connections is the number of connections that were open at last, and ended with the
	// machine. Nil: it is not known.
	Connections *int `json:"connections,omitempty"`
	// Problem is the reason for which the machine has not left the Services first.
	Problem string `json:"problem,omitempty"`
}

// text is the drained machine in one line.
func (d drained) text() string {
	switch {
	case d.Problem != "":
		return fmt.Sprintf("%s: did not leave the Services first: %s", d.Role, d.Problem)
	case d.Connections == nil:
		return d.Role + ": the number of open connections that ended is not known"
	default:
		return fmt.Sprintf("%s: %s ended", d.Role, plural(*d.Connections, "open connection"))
	}
}

// drainer drains machines, and collects how that went.
type drainer struct {
	cloud stack.Cloud
	// timeout is the maximum time for which open connections are waited for.
	timeout time.Duration
	// patience, settle and interval are drainPatience, settleTime and the time between two
	// looks at a machine.
	patience, settle, interval time.Duration

	mutex    sync.Mutex
	machines []drained
}

func (p *program) newDrainer(t *target) *drainer {
	return &drainer{
		cloud: t.cloud, timeout: p.options.drainTimeout,
		patience: cmp.Or(p.statusPatience, drainPatience),
		settle:   min(settleTime, cmp.Or(p.statusPatience, settleTime)),
		interval: min(statusInterval, cmp.Or(p.statusPatience, statusInterval)),
	}
}

// drain takes a machine out of the Services, and waits until its open connections have
// ended, at most for the timeout. A machine that cannot be drained is a line in the result:
// it is taken away because it does not work. Errors are those of the API, and the end of
// the context.
func (d *drainer) drain(ctx context.Context, draining *stack.Draining, report func(string)) error {
	result := drained{Role: draining.Machine.Role}
	problem, err := d.leave(ctx, draining, report)
	if err != nil {
		return err
	}
	if result.Problem = problem; problem == "" {
		if result.Connections, err = d.awaitConnections(ctx, draining.Machine, report); err != nil {
			return err
		}
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.machines = append(d.machines, result)
	return nil
}

// leave returns when no new connections are led to the machine, or the reason for which it
// cannot be drained.
func (d *drainer) leave(ctx context.Context, draining *stack.Draining, report func(string)) (problem string, err error) {
	if problem, err = d.obstacle(ctx, draining); problem != "" || err != nil {
		return problem, err
	}
	if err := d.cloud.Update(ctx, draining.Drained, nil, report); err != nil {
		return fmt.Sprintf("its user data cannot be written: %v", err), context.Cause(ctx)
	}
	value, err := draining.Drained.Render()
	if err != nil {
		return "", err
	}
	wanted := cloudinit.Digest(value)
	report("until it serves the drained configuration")
	for deadline := time.Now().Add(d.patience); ; {
		status, problem, err := d.status(ctx, draining.Machine)
		switch {
		case err != nil:
			return "", err
		case problem == "" && status.Served == wanted:
			report("until the Services lead no new connections to it")
			return "", scaleway.Sleep(ctx, d.settle)
		case problem == "" && status.Refused == wanted:
			return "it refuses the configuration for that: " + status.Reason, nil
		case time.Now().After(deadline):
			return fmt.Sprintf("it did not report within %s that it serves the configuration for that", d.patience), nil
		}
		if err := scaleway.Sleep(ctx, d.interval); err != nil {
			return "", err
		}
	}
}

// obstacle returns the reason for which a machine is not drained: it does not work, or no
// other one does. Another one that an interrupted run has drained is waited for, because it
// gets its ordinary squid.conf again.
func (d *drainer) obstacle(ctx context.Context, draining *stack.Draining) (string, error) {
	if _, problem, err := d.status(ctx, draining.Machine); problem != "" || err != nil {
		return problem, err
	}
	for deadline := time.Now().Add(d.patience); ; {
		serves, isDrained, err := d.others(ctx, draining.Others)
		switch {
		case serves || err != nil:
			return "", err
		case !isDrained || time.Now().After(deadline):
			return "no other machine serves", nil
		}
		if err := scaleway.Sleep(ctx, d.interval); err != nil {
			return "", err
		}
	}
}

// others returns whether one of the machines serves, and whether one is drained.
func (d *drainer) others(ctx context.Context, machines []*stack.Server) (serves, isDrained bool, err error) {
	for _, machine := range machines {
		if machine.ID == "" {
			continue // to be created
		}
		status, problem, err := d.status(ctx, machine)
		switch {
		case err != nil:
			return false, false, err
		case problem != "":
		case status.Connections != nil:
			isDrained = true
		default:
			serves = true
		}
	}
	return serves, isDrained, nil
}

// status returns the report of a machine, or the reason for which the machine does not
// serve.
func (d *drainer) status(ctx context.Context, server *stack.Server) (status *cloudinit.Status, problem string, err error) {
	value, err := d.cloud.MachineStatus(ctx, server)
	switch {
	case err != nil:
		return nil, "", err
	case value == nil:
		return nil, "it has not reported its state", nil
	}
	status, err = cloudinit.ParseStatus(value)
	switch {
	case err != nil:
		return nil, err.Error(), nil //nolint:nilerr // a state of the machine, and no failure of the run
	case isStale(status):
		return nil, "it has not reported since " + status.Time.Format(time.RFC3339), nil
	case status.Served == "":
		return nil, "it serves no configuration", nil
	}
	return status, "", nil
}

// awaitConnections waits until no connection to the machine is open, at most for the
// timeout, and returns the last number. A machine of an earlier version does not report
// it.
func (d *drainer) awaitConnections(ctx context.Context, server *stack.Server, report func(string)) (*int, error) {
	var last *int
	for deadline := time.Now().Add(d.timeout); ; {
		status, problem, err := d.status(ctx, server)
		if err != nil {
			return nil, err
		}
		if problem == "" {
			last = status.Connections
		}
		if last != nil && *last == 0 || !time.Now().Before(deadline) {
			return last, nil
		}
		detail := "open connections"
		if last != nil {
			detail = plural(*last, "open connection")
		}
		report(detail)
		if err := scaleway.Sleep(ctx, min(d.interval, time.Until(deadline))); err != nil {
			return nil, err
		}
	}
}
