package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// program is a run of one of the commands.
type program struct {
	environment
	options options
}

func newRootCommand(env environment) *cobra.Command {
	p := &program{environment: env, options: defaultOptions()}
	root := &cobra.Command{
		Use:   "bootstrap",
		Short: "Make what egress.yaml describes at Scaleway: bootstrap alone is bootstrap apply",
		Long: `bootstrap makes come true at Scaleway what egress.yaml describes: a Private
Network, a Public Gateway, the proxy with its public addresses, and a cluster
with its pools. It writes kubeconfig.yaml, and values.yaml for the chart.

It keeps no state: what exists is found by name and tag each time. So it can be
run again from anywhere and after any interruption, and goes on from there.
Without a command it does what bootstrap apply does.

Credentials are found as every Scaleway tool finds them: in SCW_ACCESS_KEY,
SCW_SECRET_KEY and SCW_DEFAULT_PROJECT_ID, or in the Scaleway configuration
file, of which SCW_PROFILE chooses the profile.`,
		Example: `  bootstrap plan                  # what would be done
  bootstrap                       # show it, ask, do it
  bootstrap --yes -o json         # in a pipeline
  bootstrap status                # what there is, and what differs
  bootstrap destroy               # remove all of it`,
		SilenceUsage: true, SilenceErrors: true,
		RunE: p.bounded(p.apply),
	}
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	root.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		return fmt.Errorf("%w (see %s --help)", err, command.CommandPath())
	})
	p.options.addConfig(root)
	p.addApplyFlags(root)
	root.AddCommand(p.applyCommand(), p.planCommand(), p.destroyCommand(), p.statusCommand(), p.renderCommand(), p.versionCommand())
	return root
}

func (p *program) addApplyFlags(command *cobra.Command) {
	p.options.addRun(command, "do not ask")
	p.options.addAllowReplace(command)
	p.options.addOutput(command)
	p.options.addTimeout(command)
}

func (p *program) applyCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "apply",
		Short: "Show what has to be done, ask, and do it",
		Long: `apply compares egress.yaml with what exists, shows the plan, asks, and carries
the plan out, in parallel where possible. Then it writes what egress.yaml names
under outputs: the cluster's kubeconfig, merged into the file if there is one,
and the values of the chart. They are written also when there was nothing to do.

What cannot be changed in place is replaced, which loses what it holds: the
proxy's audit log is on its disk, a cluster's workloads are in the cluster. The
plan says so. With --yes, such a plan is refused without --allow-replace.

A step that fails holds up only those that need it. Run the command again when
the cause is gone: it goes on from there. The same is true after Ctrl-C; a
second Ctrl-C ends the program at once.`,
		Example: `  bootstrap apply
  bootstrap apply --config production/egress.yaml
  bootstrap apply --yes --output json | jq --raw-output .addresses.shared
  bootstrap apply --yes --allow-replace`,
		Args: cobra.NoArgs,
		RunE: p.bounded(p.apply),
	}
	p.addApplyFlags(command)
	return command
}

func (p *program) planCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "plan",
		Short: "Show what apply would do",
		Long: `plan compares egress.yaml with what exists and shows what apply would do, and
whether it would fail: because a type is sold out, say. It changes nothing.

  +    is created
  ~    is changed in place
  -/+  is replaced: deleted and made anew
  -    is deleted

Exit codes of all commands:

  0    done; for plan: there is nothing to do
  1    something is wrong, as standard error says
  2    plan only: there is something to do
  130  interrupted: run the same command again, it goes on from there`,
		Example: `  bootstrap plan
  bootstrap plan --output json | jq '.steps[] | select(.action == "replace")'`,
		Args: cobra.NoArgs,
		RunE: p.bounded(p.plan),
	}
	p.options.addOutput(command)
	p.options.addTimeout(command)
	return command
}

func (p *program) destroyCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "destroy",
		Short: "Remove everything that apply has made",
		Long: `destroy removes everything that carries the tag of this set-up, and nothing
else: a network or a cluster that egress.yaml names by its ID stays, and so do
the files that apply has written. It shows what it removes and asks for the name
of the set-up. The public addresses go back to Scaleway, and do not come again.`,
		Example: `  bootstrap destroy
  bootstrap destroy --config staging/egress.yaml --yes`,
		Args: cobra.NoArgs,
		RunE: p.bounded(p.destroy),
	}
	p.options.addRun(command, "do not ask for the name")
	p.options.addOutput(command)
	p.options.addTimeout(command)
	return command
}

func (p *program) statusCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "status",
		Short: "Show what exists, and how it differs from egress.yaml",
		Long: `status shows the resources of this set-up, the addresses by which requests
leave, for each tenant whether the proxy has been given what egress.yaml says,
and in short what apply would do. It changes nothing. That something differs
does not change the exit code: see bootstrap plan for that.

Whether the proxy has taken what it was given, Scaleway does not know: it tells
so by its metrics, and on each tenant's port.`,
		Example: `  bootstrap status
  bootstrap status --output json | jq '.tenants[] | select(.wanted != .proxy)'`,
		Args: cobra.NoArgs,
		RunE: p.bounded(p.status),
	}
	p.options.addOutput(command)
	p.options.addTimeout(command)
	return command
}

func (p *program) renderCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "render",
		Short: "Print the files that egress.yaml stands for, without asking Scaleway",
		Long: `render prints what the proxy boots from (user data), its squid.conf, and the
values of the chart. It needs neither network nor credentials. Addresses that
Scaleway gives are not known then: in their places stand addresses that are
reserved for documentation (203.0.113.0/24), which a comment lists.

So none of it runs as it is. A Squid of your own wants its own addresses in
squid.conf, and what that names besides: a certificate with its key
(/etc/squid/egress.pem) and the folder of error pages (/etc/squid/errors), which
the proxy's user data makes.`,
		Example: `  bootstrap render
  bootstrap render --only squid-conf > squid.conf`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return p.render() },
	}
	p.options.addOnly(command)
	return command
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "version prints which bootstrap this is.",
		Example: "  bootstrap version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(p.stdout, buildVersion())
			return err
		},
	}
}

// bounded has a command end with --timeout, and says of one that was ended
// from outside what that means.
func (p *program) bounded(work func(context.Context) error) func(*cobra.Command, []string) error {
	return func(command *cobra.Command, _ []string) error {
		outer := command.Context()
		ctx, cancel := outer, context.CancelFunc(func() {})
		if p.options.timeout > 0 {
			ctx, cancel = context.WithTimeout(outer, p.options.timeout)
		}
		defer cancel()
		err := work(ctx)
		if err == nil || errors.Is(err, errChanges) || ctx.Err() == nil {
			return err
		}
		return &brokenOff{overtime: outer.Err() == nil, failures: otherFailures(ctx, err)}
	}
}

// otherFailures are those that are not the end of the context.
func otherFailures(ctx context.Context, err error) error {
	var others []error
	for _, leaf := range leaves(err) {
		if errors.Is(leaf, context.Canceled) || errors.Is(leaf, context.DeadlineExceeded) || errors.Is(leaf, context.Cause(ctx)) {
			continue
		}
		others = append(others, leaf)
	}
	return errors.Join(others...)
}
