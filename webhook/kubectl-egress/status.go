package main

import (
	"github.com/spf13/cobra"

	"egress.scw/webhook/kubectl-egress/coverage"
)

func newStatusCommand(a *app) *cobra.Command {
	command := &cobra.Command{
		Use:   "status",
		Short: "Show tenants, machines, Revisions, and whatever is uncovered",
		Long: `Print the tenants with their state and the Revision that the proxies should serve, the
proxy machines, the namespaces with the state of their NetworkPolicy, and every pod that
needs an action: without proxy variables, injected under another configuration, refused
by the webhook today, or in its node's network. GATEWAY counts the pods of tenants with
path Gateway, which need no proxy variables.

READY and SERVED are the status that the webhook wrote last. A finding reports that no
replica of it is ready: the status is not kept up then. SERVED is the condition
ProxyReachable: the leader of the webhook asks each proxy every 2 s. Unknown: it has not
asked, or proxy.verifyPorts is false.

Exit codes: 0 all is covered, 1 something is uncovered, 2 an error.`,
		Example: `  kubectl egress status
  kubectl egress status -o wide

  # in a script: the pods to restart
  kubectl egress status -o json | jq -r '.uncovered[] | .namespace + "/" + .name'`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			cluster, err := a.connect(a.flags)
			if err != nil {
				return err
			}
			s, err := cluster.read(command.Context(), a.releaseNamespace, "")
			if err != nil {
				return err
			}
			builder := coverage.NewBuilder(s)
			if err := cluster.eachPod(command.Context(), "", builder.Add); err != nil {
				return err
			}
			report := builder.Report()
			return a.answer(!report.IsCovered(), report, report.Text)
		},
	}
	a.addOutput(command, outputWide, outputJSON, outputYAML)
	return command
}
