package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// program is one run of a command.
type program struct {
	environment
	options options
}

func newRootCommand(env environment) *cobra.Command {
	p := &program{environment: env, options: defaultOptions()}
	root := &cobra.Command{
		Use:   "bootstrap",
		Short: "Provision the stack that egress.yaml describes; the default command is apply",
		Long: `bootstrap provisions the stack that egress.yaml describes at Scaleway: a
Private Network, a Public Gateway, the proxy with its public addresses, and a
cluster with its pools. It writes kubeconfig.yaml, and values.yaml for the
chart. Start with bootstrap init, which asks for the most important fields,
and run bootstrap plan, which changes nothing. bootstrap/egress.example.yaml
explains every field.

bootstrap keeps no state: each run finds existing resources by name and tag.
So it can run on any machine, and after an interruption the next run
continues. Without a command, bootstrap runs apply.

Credentials are read from the variables SCW_ACCESS_KEY, SCW_SECRET_KEY and
SCW_DEFAULT_PROJECT_ID, like in other Scaleway tools, or from the Scaleway
configuration file, in which SCW_PROFILE selects the profile.`,
		Example: `  bootstrap init                  # write egress.yaml and .env
  bootstrap plan                  # show the changes
  bootstrap                       # show the changes, ask, make them
  bootstrap --yes -o json         # the same in a pipeline
  bootstrap adopt --gateway ID    # use an existing gateway from now on
  bootstrap status                # show existing resources and differences
  bootstrap destroy               # delete the stack`,
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
	root.AddCommand(p.initCommand(), p.adoptCommand(), p.applyCommand(), p.planCommand(), p.destroyCommand(), p.statusCommand(), p.watchCommand(), p.renderCommand(), p.versionCommand())
	return root
}

func (p *program) addApplyFlags(command *cobra.Command) {
	p.options.addRun(command, "do not ask for confirmation")
	p.options.addAllowReplace(command)
	p.options.addWait(command)
	p.options.addDrainTimeout(command)
	p.options.addOutput(command)
	p.options.addTimeout(command)
}

func (p *program) applyCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "apply",
		Short: "Show the plan, ask for confirmation, and execute the plan",
		Long: `apply compares egress.yaml with the existing resources, shows the plan, asks
for confirmation, and executes the plan, in parallel where possible. Then it
writes the files of spec.outputs: the kubeconfig of the cluster, merged into
an existing file, the values of the chart, and with spec.proxy.sshSources a
known_hosts file with the host keys of the proxy. It writes them also if there
was nothing to do.

Before, it waits until each machine of the proxy reports that it serves the
configuration. A machine that refuses it is a failure, with the reason. One that
has not reported after 2 minutes is a warning.

Machines of the proxy are replaced one at a time. A machine that is replaced or
deleted while others serve is drained first: the Services of the tenants lead no
new connections to it, and connections that are open have the time of
--drain-timeout to end. Those that end with the machine are counted.

Resources that cannot be changed in place are replaced, which loses their
data: the audit log of the proxy is on its disk, and workloads are in the
cluster. The plan lists these losses. With --yes, such a plan also needs
--allow-replace.

If a step fails, only the steps that depend on it are not started. Remove the
cause and run the command again to continue. The same applies after Ctrl-C; a
second Ctrl-C ends the program immediately.`,
		Example: `  bootstrap apply
  bootstrap apply --config production/egress.yaml
  bootstrap apply --yes --output json | jq --raw-output '.addresses.shared[]'
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
		Short: "Show the steps that apply would execute",
		Long: `plan compares egress.yaml with the existing resources and shows the steps that
apply would execute. It also checks whether they would fail, for example
because a type is sold out. It changes nothing. With --output json, it also
shows the report of each machine, like status.

  +    create
  ~    change in place
  -/+  replace: delete and create again
  >    drain: a machine leaves the Services before it is replaced or deleted
  -    delete

Exit codes of all commands:

  0    success; for plan: there is nothing to do
  1    failure, explained on standard error
  2    plan only: there is something to do
  130  interrupted: run the same command again to continue`,
		Example: `  bootstrap plan
  bootstrap plan --output json | jq '.steps[] | select(.action == "replace")'
  bootstrap plan --output json | jq '.machines[] | select(.live | not)'`,
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
		Short: "Delete everything that apply has created",
		Long: `destroy deletes all resources with the tag of this stack, and no others: a
network or cluster that egress.yaml names by its ID is kept, and so are the
files that apply has written. It shows the resources to delete, and asks for
the name of the stack. Public addresses return to Scaleway and cannot be
obtained again.`,
		Example: `  bootstrap destroy
  bootstrap destroy --config staging/egress.yaml --yes`,
		Args: cobra.NoArgs,
		RunE: p.bounded(p.destroy),
	}
	p.options.addRun(command, "do not ask for the name of the stack")
	p.options.addOutput(command)
	p.options.addTimeout(command)
	return command
}

func (p *program) statusCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "status",
		Short: "Show existing resources, and their differences from egress.yaml",
		Long: `status shows the resources of this stack, its egress addresses, whether each
machine serves the configuration of egress.yaml, for each tenant whether the
user data has it, and a summary of the steps that apply would execute. It
changes nothing. Differences do not affect the exit code; use bootstrap plan
for that.

Each machine reports on each change and every 10 minutes. The status of each
EgressTenant (kubectl get et) and the metrics of the proxy are newer.`,
		Example: `  bootstrap status
  bootstrap status --output json | jq '.tenants[] | select(.wanted != .userData)'`,
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
		Short: "Print the rendered files, without Scaleway",
		Long: `render prints the user data that each machine of the proxy boots from, its
squid.conf, and the values of the chart. With --only, the user data and the
squid.conf are those of the first machine, or of another --machine. It needs
neither network nor credentials. Addresses that Scaleway assigns are not known:
addresses that are reserved for documentation (203.0.113.0/24) replace them, and
a comment lists them.

So the files cannot be used unchanged. To run squid.conf elsewhere, set your
own addresses, and provide the files that it refers to: a certificate with its
key (/etc/squid/egress.pem) and the folder of error pages (/etc/squid/errors),
which the user data of the proxy creates.`,
		Example: `  bootstrap render
  bootstrap render --only squid-conf > squid.conf
  bootstrap render --only squid-conf --machine proxy-2`,
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
		Long:    "version prints the version of bootstrap.",
		Example: "  bootstrap version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(p.stdout, buildVersion())
			return err
		},
	}
}
