package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

// app are the flags of all commands, and the environment.
type app struct {
	environment
	flags            *genericclioptions.ConfigFlags
	releaseNamespace string
	output           string
}

const rootLong = `kubectl egress answers the questions of the people who run egress.scw:

  is anything uncovered, why did this pod get no proxy, is this URL allowed,
  does isolation hold, and which domains does a tenant need?

It reads the cluster of the kubeconfig, with the rights of its user. Only verify
writes: a pod, which it deletes.

Exit codes: 0 the answer is positive, 1 it is negative (denied, uncovered, a
finding), 2 there is no answer (an error), 130 interrupted.`

const rootExample = `  kubectl egress status
  kubectl egress explain pod web-7d4b9 --namespace orders --url https://api.github.com
  kubectl egress allowed client-a https://api.github.com
  kubectl egress verify client-a
  kubectl egress suggest client-a --fold < audit.log
  kubectl egress logs client-a --verdict denied < audit.log`

func newRootCommand(env environment) *cobra.Command {
	a := &app{environment: env, flags: genericclioptions.NewConfigFlags(true)}
	a.flags.CacheDir = nil // nothing is cached
	root := &cobra.Command{
		Use:           "kubectl-egress",
		Short:         "Explain and prove the egress of tenants",
		Long:          rootLong,
		Example:       rootExample,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       env.version,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl egress"},
	}
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		return fmt.Errorf("%w (see %s --help)", err, command.CommandPath())
	})
	root.PersistentFlags().SortFlags = false
	root.PersistentFlags().StringVar(&a.releaseNamespace, "release-namespace", "egress-system", "`namespace` of the webhook")
	a.flags.AddFlags(root.PersistentFlags())
	root.AddCommand(
		newStatusCommand(a), newExplainCommand(a), newAllowedCommand(a), newSuggestCommand(a), newLogsCommand(a), newVerifyCommand(a),
	)
	return root
}
