package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"egress.scw/bootstrap/stack"
)

// destroyed is the outcome of destroy, in JSON.
type destroyed struct {
	Name    string  `json:"name"`
	Summary summary `json:"summary"`
	// Left are the resources that were given, and stay.
	Left []resourceRow `json:"left"`
	// Files are outputs of apply, which stay.
	Files []string `json:"files"`
}

// destroy is the command.
func (p *program) destroy(ctx context.Context) error {
	s, err := p.connect(ctx)
	if err != nil {
		return err
	}
	observed, err := s.cloud.Observe(ctx, s.spec)
	if err != nil {
		return err
	}
	plan := stack.DiffDestroy(observed)
	if err := p.showPlan(s, plan); err != nil {
		return err
	}
	if !plan.Empty() {
		if err := p.confirmDestroy(ctx, s.spec.Name); err != nil {
			return err
		}
	}
	result := destroyed{Name: s.spec.Name, Left: []resourceRow{}, Files: []string{}}
	result.Summary, err = p.carryOut(ctx, s, plan)
	for _, row := range resourceRows(s.spec, observed) {
		if row.Existing {
			result.Left = append(result.Left, row)
		}
	}
	for _, file := range []string{s.kubeconfigFile(), s.valuesFile()} {
		if _, err := os.Stat(file); err == nil {
			result.Files = append(result.Files, file)
		}
	}
	if p.options.output == outputJSON {
		return errors.Join(err, printJSON(p.stdout, result))
	}
	_, printed := fmt.Fprint(p.stdout, destroyedText(s, result, outcomeOf(ctx, err)))
	return errors.Join(err, printed)
}

// destroyedText is the outcome as people read it.
func destroyedText(s *setup, result destroyed, how outcome) string {
	var text strings.Builder
	switch {
	case how != succeeded:
		fmt.Fprintf(&text, "%s is not yet destroyed: %s.\n", s.spec.Name, result.Summary.counted(how, "deleted"))
	case result.Summary.Done > 0:
		fmt.Fprintf(&text, "%s is destroyed: %s deleted.\n", s.spec.Name, plural(result.Summary.Done, "resource"))
	}
	if how == failed {
		text.WriteString("\nTo go on from here, when the cause is gone:\n  " + s.command("destroy") + "\n")
	}
	if len(result.Left) > 0 {
		var rows [][]string
		for _, row := range result.Left {
			rows = append(rows, []string{string(row.Kind), row.Name, row.ID})
		}
		text.WriteString("\nLeft, because it was there before\n" + columns(rows))
	}
	if len(result.Files) > 0 {
		text.WriteString("\nFiles, which stay\n  " + strings.Join(result.Files, "\n  ") + "\n")
	}
	return text.String()
}
