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
	errDeclined   = errors.New("not confirmed: nothing was changed")
	errNoTerminal = errors.New("confirmation needs a terminal, and standard input is not one: review the plan, then use --yes")
)

// confirmApply requires the confirmation of a plan, by --yes or interactively.
func (p *program) confirmApply(ctx context.Context, plan *stack.Plan) error {
	replaced := plan.Replacements()
	if p.options.yes {
		if len(replaced) > 0 && !p.options.allowReplace {
			return fmt.Errorf("the plan replaces %s: with --yes, this also needs --allow-replace", stepList(replaced))
		}
		return nil
	}
	question := `Apply this plan? Only "yes" confirms: `
	if len(replaced) > 0 {
		question = fmt.Sprintf(`Apply this plan, and REPLACE %s? Only "yes" confirms: `, stepList(replaced))
	}
	return p.ask(ctx, question, "yes")
}

// confirmDestroy requires the confirmation of a plan, by --yes or by typing the
// name of the stack.
func (p *program) confirmDestroy(ctx context.Context, name string) error {
	if p.options.yes {
		return nil
	}
	return p.ask(ctx, fmt.Sprintf("To destroy all of this, type the name of the stack (%s): ", name), name)
}

// ask asks the user, and returns an error unless the answer is the expected one.
func (p *program) ask(ctx context.Context, question, expected string) error {
	if !p.terminals.stdin {
		return errNoTerminal
	}
	p.prompt(question)
	answer := make(chan string, 1)
	// A read from a terminal cannot be cancelled. So the goroutine is abandoned
	// when the context ends; the program exits soon after.
	go func() {
		line, _ := bufio.NewReader(p.stdin).ReadString('\n')
		answer <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		p.prompt("\n")
		return context.Cause(ctx)
	case typed := <-answer:
		if typed != expected {
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
