package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/scaleway/scaleway-sdk-go/validation"
	"github.com/spf13/cobra"

	"egress.scw/bootstrap/scaleway"
	"egress.scw/bootstrap/stack"
)

// adoptOptions are the flags of adopt.
type adoptOptions struct {
	gateway, shared string
	// tenants are pairs of a tenant and its address.
	tenants map[string]string
	dryRun  bool
}

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

An address that another server has is moved by the next apply. That ends the
connections through the other server.`,
		Example: `  bootstrap adopt --gateway 11111111-2222-3333-4444-555555555555
  bootstrap adopt --shared-address 203.0.113.7 --dry-run
  bootstrap adopt --tenant-address client-a=203.0.113.8 --yes`,
		Args: cobra.NoArgs,
		RunE: p.bounded(func(ctx context.Context) error { return p.adopt(ctx, o) }),
	}
	flags := command.Flags()
	flags.StringVar(&o.gateway, "gateway", "", "`ID` of the Public Gateway")
	flags.StringVar(&o.shared, "shared-address", "", "`ID` of the flexible address that tenants share, or the address itself")
	flags.StringToStringVar(&o.tenants, "tenant-address", nil, "`tenant=ID` of the tenant's dedicated flexible address, or the address itself; can be repeated")
	flags.Lookup("tenant-address").DefValue = "" // the help would print []
	flags.BoolVar(&o.dryRun, "dry-run", false, "show everything, and change nothing")
	flags.BoolVarP(&p.options.yes, "yes", "y", false, "do not ask for confirmation")
	p.options.addTimeout(command)
	return command
}

// named is a resource that a flag names.
type named struct {
	flag, name, role string
}

// validate returns the resources that the flags name, or everything that is wrong with
// the flags.
func (o *adoptOptions) validate() ([]named, error) {
	var all []named
	var errs []error
	if o.gateway != "" {
		all = append(all, named{"--gateway", o.gateway, ""})
		if !validation.IsUUID(o.gateway) {
			errs = append(errs, fmt.Errorf("--gateway: %q is not a UUID", o.gateway))
		}
	}
	if o.shared != "" {
		all = append(all, named{"--shared-address", o.shared, stack.RoleShared})
	}
	for tenant, name := range o.tenants {
		all = append(all, named{"--tenant-address " + tenant, name, stack.RoleTenant(tenant)})
	}
	slices.SortFunc(all, func(a, b named) int { return strings.Compare(a.flag, b.flag) })
	for i, n := range all {
		if slices.ContainsFunc(all[:i], func(other named) bool { return other.name == n.name }) {
			errs = append(errs, fmt.Errorf("%s: another flag names %s too", n.flag, n.name))
		}
	}
	if len(all) == 0 {
		errs = append(errs, errors.New("name a resource: --gateway, --shared-address or --tenant-address"))
	}
	return all, errors.Join(errs...)
}

// adopter is a Cloud that can change the owner of resources.
type adopter interface {
	AdoptableGateway(ctx context.Context, id string) (*scaleway.Adoptable, error)
	AdoptableAddress(ctx context.Context, role, name string) (*scaleway.Adoptable, error)
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
	t, err := p.connect(ctx, func(*target) error { return wrong })
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
		if n.role == "" {
			found, err = a.adopter.AdoptableGateway(ctx, n.name)
		} else {
			found, err = a.adopter.AdoptableAddress(ctx, n.role, n.name)
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
