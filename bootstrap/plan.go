package main

import (
	"context"
	"errors"
	"fmt"

	"egress.scw/bootstrap/stack"
)

// plan is the command.
func (p *program) plan(ctx context.Context) error {
	s, err := p.connect(ctx, checkRendering)
	if err != nil {
		return err
	}
	_, plan, err := stack.ObserveAndPlan(ctx, s.cloud, s.spec)
	if err != nil {
		return err
	}
	checked := check(ctx, s, plan)
	if p.options.output == outputJSON {
		err = printJSON(p.stdout, newPlanDocument(s.spec, plan))
	} else {
		_, err = fmt.Fprint(p.stdout, planTable(s.spec, plan, s.file, p.painter(p.terminals.stdout)))
	}
	if err := errors.Join(err, checked); err != nil {
		return err
	}
	if !plan.Empty() {
		return errChanges
	}
	return nil
}

// check says what would make a plan fail.
func check(ctx context.Context, s *setup, plan *stack.Plan) error {
	if plan.Empty() {
		return nil
	}
	return s.cloud.Check(ctx, s.spec, plan)
}

// showPlan shows a plan to whoever is about to be asked. A document of JSON on
// standard output has no place for it.
func (p *program) showPlan(s *setup, plan *stack.Plan) error {
	w, terminal := p.stdout, p.terminals.stdout
	if p.options.output == outputJSON {
		w, terminal = p.stderr, p.terminals.stderr
	}
	_, err := fmt.Fprintln(w, planTable(s.spec, plan, s.file, p.painter(terminal)))
	return err
}
