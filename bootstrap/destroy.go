package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"egress.scw/bootstrap/stack"
)

// destroyed is the JSON form of the result of destroy.
type destroyed struct {
	Name    string  `json:"name"`
	Summary summary `json:"summary"`
	// Left are the existing resources that bootstrap does not manage, which stay.
	Left []resourceRow `json:"left"`
	// Files are the outputs of apply, which stay.
	Files []string `json:"files"`
}

// destroy runs the command of this name.
func (p *program) destroy(ctx context.Context) error {
	t, err := p.connect(ctx)
	if err != nil {
		return err
	}
	observed, err := t.cloud.Observe(ctx, t.spec)
	if err != nil {
		return err
	}
	plan := stack.DiffDestroy(observed)
	if err := p.showPlan(t, plan); err != nil {
		return err
	}
	if !plan.Empty() {
		if err := p.confirmDestroy(ctx, t.spec.Name); err != nil {
			return err
		}
	}
	result := destroyed{Name: t.spec.Name, Left: []resourceRow{}, Files: []string{}}
	result.Summary, _, err = p.execute(ctx, t, plan)
	for _, row := range resourceRows(t.spec, observed) {
		if row.Existing {
			result.Left = append(result.Left, row)
		}
	}
	for _, file := range []string{t.kubeconfigFile(), t.valuesFile(), t.knownHostsFile()} {
		if _, err := os.Stat(file); err == nil {
			result.Files = append(result.Files, file)
		}
	}
	if p.options.output == outputJSON {
		return errors.Join(err, printJSON(p.stdout, result))
	}
	_, printed := fmt.Fprint(p.stdout, destroyedText(t, result, outcomeOf(ctx, err)))
	return errors.Join(err, printed)
}

// destroyedText is the readable form of the result of destroy.
func destroyedText(t *target, result destroyed, how outcome) string {
	var text strings.Builder
	switch {
	case how != succeeded:
		fmt.Fprintf(&text, "%s is not yet destroyed: %s.\n", t.spec.Name, result.Summary.counted(how, "deleted"))
	case result.Summary.Done > 0:
		fmt.Fprintf(&text, "%s is destroyed: %s deleted.\n", t.spec.Name, plural(result.Summary.Done, "resource"))
	}
	if how == failed {
		text.WriteString("\nTo continue, after removing the cause:\n  " + t.command("destroy") + "\n")
	}
	if len(result.Left) > 0 {
		var rows [][]string
		for _, row := range result.Left {
			rows = append(rows, []string{string(row.Kind), row.Name, row.ID})
		}
		text.WriteString("\nKept, because bootstrap does not manage it\n" + columns(rows))
	}
	if len(result.Files) > 0 {
		text.WriteString("\nFiles, which are kept\n  " + strings.Join(result.Files, "\n  ") + "\n")
	}
	return text.String()
}
