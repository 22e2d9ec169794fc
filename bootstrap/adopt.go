package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"egress.scw/bootstrap/scaleway"
	"egress.scw/bootstrap/stack"
)

func (p *program) adoptCommand() *cobra.Command {
	o := &adoptOptions{}
	command := &cobra.Command{
		Use:   "adopt",
		Short: "Make an existing gateway and existing addresses part of the stack",
		Long: `adopt gives resources that another tool has created the tags of the stack, so
that apply uses them instead of creating new ones, and published addresses
stay. It shows the tags and the plan that follows from them, asks for
confirmation, and changes nothing but tags.

A resource is refused if the plan would delete or replace it: because
egress.yaml does not want it, because the gateway serves another network than
spec.network, or because an older resource has its place.

From then on, bootstrap owns these resources, and destroy deletes them. Remove
them from the state of the other tool first. A Private Network and a cluster
need no adoption: spec.network.id and spec.cluster.id name them, and they are
never changed or deleted.

An address becomes one of the first machine of the proxy, in whose zone it must
be. With several machines, --shared-address and --tenant-address take the name
of another one: proxy-2 to proxy-4.

An address that another server has is moved by the next apply. That ends the
connections through the other server.`,
		Example: `  bootstrap adopt --gateway 11111111-2222-3333-4444-555555555555
  bootstrap adopt --shared-address 203.0.113.7 --dry-run
  bootstrap adopt --tenant-address client-a=203.0.113.8 --yes
  bootstrap adopt --shared-address proxy-2=203.0.113.9`,
		Args: cobra.NoArgs,
		RunE: p.bounded(func(ctx context.Context) error { return p.adopt(ctx, o) }),
	}
	flags := command.Flags()
	o.addTo(flags)
	flags.BoolVar(&o.dryRun, "dry-run", false, "show everything, and change nothing")
	flags.BoolVarP(&p.options.yes, "yes", "y", false, "do not ask for confirmation")
	p.options.addTimeout(command)
	return command
}

// adopter is a Cloud that can change the owner of resources.
type adopter interface {
	AdoptableGateway(ctx context.Context, id string) (*scaleway.Adoptable, error)
	AdoptableAddress(ctx context.Context, zone, role, name string) (*scaleway.Adoptable, error)
	Adopt(ctx context.Context, a *scaleway.Adoptable) error
}

// adoption is one run of adopt.
type adoption struct {
	*target

	adopter adopter
	named   []named
	found   []*scaleway.Adoptable
}

// adopt runs the command of this name.
func (p *program) adopt(ctx context.Context, o *adoptOptions) error {
	all, wrong := o.validate()
	t, err := p.connect(ctx, func(t *target) error { return errors.Join(wrong, assign(all, t.spec)) })
	if err != nil {
		return err
	}
	cloud, ok := t.cloud.(adopter)
	if !ok {
		return errors.New("this API cannot change the owner of resources")
	}
	a := &adoption{target: t, adopter: cloud, named: all}
	if err := a.find(ctx); err != nil {
		return err
	}
	plan, err := a.plan(ctx)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(p.stdout, a.text(plan, p.painter(p.terminals.stdout))); err != nil || o.dryRun || a.done() {
		return err
	}
	if !p.options.yes {
		if err := p.ask(ctx, `Add these tags? Only "yes" confirms: `, "yes"); err != nil {
			return err
		}
	}
	return a.tag(ctx, p)
}

// find reads the named resources, and returns all that is wrong with them.
func (a *adoption) find(ctx context.Context) error {
	var errs []error
	for _, n := range a.named {
		var found *scaleway.Adoptable
		var err error
		if n.use == "" {
			found, err = a.adopter.AdoptableGateway(ctx, n.name)
		} else {
			found, err = a.adopter.AdoptableAddress(ctx, n.zone, n.role, n.name)
		}
		for _, leaf := range leaves(err) {
			errs = append(errs, fmt.Errorf("%s: %w", n.flag, leaf))
		}
		a.found = append(a.found, found)
	}
	return errors.Join(errs...)
}

// plan returns the plan that follows from the tags. Deletions and replacements of the
// named resources are errors.
func (a *adoption) plan(ctx context.Context) (*stack.Plan, error) {
	observed, err := a.cloud.Observe(ctx, a.spec)
	if err != nil {
		return nil, err
	}
	owner := map[stack.Resource]named{}
	for i, found := range a.found {
		for _, r := range found.Resources {
			owner[r] = a.named[i]
		}
		for _, r := range observed.Resources {
			if age, ok := found.Ages[r.Meta().ID]; ok {
				r.Meta().CreatedAt = age
			}
		}
		if len(found.Lacks) > 0 { // otherwise they are observed already
			observed.Resources = append(observed.Resources, found.Resources...)
		}
	}
	plan, err := stack.Diff(a.spec, observed)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, step := range plan.Steps {
		n, ok := owner[step.Resource()]
		if ok && step.Action == stack.Delete {
			errs = append(errs, fmt.Errorf("%s: the plan would delete the %s %s: %s", n.flag, step.Kind, step.ResourceID, reasonOf(plan, step)))
		}
	}
	return plan, errors.Join(errs...)
}

// reasonOf returns the reason of a deletion.
func reasonOf(plan *stack.Plan, deletion *stack.Step) string {
	for _, step := range plan.Replacements() {
		if deletion.ReplacedResource() && step.ResourceID == deletion.ResourceID {
			return strings.Join(fixedReasons(step.Changes), "; ")
		}
	}
	return deletion.Reason
}

// done reports whether the stack owns all named resources.
func (a *adoption) done() bool {
	return !slices.ContainsFunc(a.found, func(f *scaleway.Adoptable) bool { return len(f.Lacks) > 0 })
}

// text describes the tags, and the plan that follows from them.
func (a *adoption) text(plan *stack.Plan, colours paint) string {
	if a.done() {
		return fmt.Sprintf("Nothing to do: %s owns all of them.\n", a.spec.Name)
	}
	var rows [][]string
	for _, found := range a.found {
		r := found.Resource()
		tags := "is adopted"
		if len(found.Lacks) > 0 {
			tags = "gets the tags " + strings.Join(found.Lacks, ", ")
		}
		rows = append(rows, []string{string(r.Key().Kind), r.Meta().Name, r.Meta().ID, tags})
	}
	return fmt.Sprintf("Resources for %s (project %s, %s)\n%s\nFrom then on, bootstrap destroy deletes them. The next apply would do this:\n\n%s\n",
		a.spec.Name, a.spec.Project, a.spec.Zone, columns(rows), planTable(a.spec, plan, a.file, colours))
}

// tag adds the tags. After an interruption, the same command adds those that are
// missing.
func (a *adoption) tag(ctx context.Context, p *program) error {
	for i, found := range a.found {
		if len(found.Lacks) == 0 {
			continue
		}
		if err := a.adopter.Adopt(ctx, found); err != nil {
			return fmt.Errorf("%s: %w", a.named[i].flag, err)
		}
		p.note("adopted the %s %s", found.Resource().Key().Kind, found.Resource().Meta().ID)
	}
	_, err := fmt.Fprintf(p.stdout, "Next: show the changes\n  %s\n", a.command("plan"))
	return err
}
