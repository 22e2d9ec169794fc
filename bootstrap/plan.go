package main

import (
	"context"
	"errors"
	"fmt"

	"egress.scw/bootstrap/stack"
)

// plan runs the command of this name.
func (p *program) plan(ctx context.Context) error {
	t, err := p.connect(ctx, checkRendering)
	if err != nil {
		return err
	}
	_, plan, err := t.observeAndPlan(ctx)
	if err != nil {
		return err
	}
	checked := check(ctx, t, plan)
	if p.options.output == outputJSON {
		err = p.printPlanDocument(ctx, t, plan)
	} else {
		_, err = fmt.Fprint(p.stdout, planTable(t.spec, plan, t.file, p.painter(p.terminals.stdout))+outputsNote(t, plan))
	}
	if err := errors.Join(err, checked); err != nil {
		return err
	}
	if !plan.Empty() {
		return errChanges
	}
	return nil
}

// printPlanDocument prints a plan with the reports of the machines, which cost a request
// each.
func (p *program) printPlanDocument(ctx context.Context, t *target, plan *stack.Plan) error {
	document := newPlanDocument(t.spec, plan)
	var unread error
	document.Machines, unread = readMachines(ctx, t, plan.Graph)
	return errors.Join(unread, printJSON(p.stdout, document))
}

// check returns the reasons for which a plan would fail.
func check(ctx context.Context, t *target, plan *stack.Plan) error {
	if plan.Empty() {
		return nil
	}
	return t.cloud.Check(ctx, t.spec, plan)
}

// showPlan shows a plan before the user confirms it. If standard output is for a
// JSON document, the plan is written to standard error.
func (p *program) showPlan(t *target, plan *stack.Plan) error {
	w, terminal := p.stdout, p.terminals.stdout
	if p.options.output == outputJSON {
		w, terminal = p.stderr, p.terminals.stderr
	}
	_, err := fmt.Fprintln(w, planTable(t.spec, plan, t.file, p.painter(terminal))+outputsNote(t, plan))
	return err
}

// outputsNote lists the files that apply writes: a copied egress.yaml in another folder
// has its outputs there, credentials among them. It is empty for a plan to destroy, and
// without steps.
func outputsNote(t *target, plan *stack.Plan) string {
	if plan.Graph == nil || plan.Empty() {
		return ""
	}
	rows := [][]string{{t.valuesFile(), "values of the chart"}}
	if t.spec.Cluster.BootstrapManages() {
		rows = append([][]string{{t.kubeconfigFile(), "credentials of the cluster's administrator"}}, rows...)
	}
	if len(t.spec.Proxy.SSHSources) > 0 {
		rows = append(rows, []string{t.knownHostsFile(), "SSH host keys of the proxy, when it has reported them"})
	}
	return "\nFiles that apply writes (spec.outputs)\n" + columns(rows)
}
