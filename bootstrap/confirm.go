package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"egress.scw/bootstrap/stack"
)

var (
	errDeclined   = errors.New("not confirmed: nothing was done")
	errNoTerminal = errors.New("standard input is not a terminal, so nobody can be asked: look at the plan, then use --yes")
)

// confirmApply has the plan confirmed by --yes or by a person.
func (p *program) confirmApply(ctx context.Context, plan *stack.Plan) error {
	replaced := plan.Replacements()
	if p.options.yes {
		if len(replaced) > 0 && !p.options.allowReplace {
			return fmt.Errorf("the plan replaces %s: with --yes, that needs --allow-replace", stepList(replaced))
		}
		return nil
	}
	question := `Do this? Only "yes" is taken for yes: `
	if len(replaced) > 0 {
		question = fmt.Sprintf(`Do this, and REPLACE %s? Only "yes" is taken for yes: `, stepList(replaced))
	}
	return p.ask(ctx, question, "yes")
}

// confirmDestroy has the plan confirmed by --yes, or by the name of the set-up.
func (p *program) confirmDestroy(ctx context.Context, name string) error {
	if p.options.yes {
		return nil
	}
	return p.ask(ctx, fmt.Sprintf("To destroy all of this, type the name of the set-up (%s): ", name), name)
}

// ask asks a person, who must give the one answer that is wanted.
func (p *program) ask(ctx context.Context, question, want string) error {
	if !p.terminals.stdin {
		return errNoTerminal
	}
	p.prompt(question)
	answer := make(chan string, 1)
	// Nothing ends a read from a terminal, so it is left behind when the
	// context ends; the program ends soon after.
	go func() {
		line, _ := bufio.NewReader(p.stdin).ReadString('\n')
		answer <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		p.prompt("\n")
		return context.Cause(ctx)
	case given := <-answer:
		if given != want {
			return errDeclined
		}
		return nil
	}
}

func (p *program) prompt(text string) { fmt.Fprint(p.stderr, text) }

// stepList names the resources of steps.
func stepList(steps []*stack.Step) string {
	names := make([]string, 0, len(steps))
	for _, step := range steps {
		names = append(names, string(step.Kind)+" "+step.Name)
	}
	return strings.Join(names, ", ")
}
