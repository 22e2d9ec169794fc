// Command local brings the whole product up on one machine, without a cloud
// account and without a container engine: a real Kubernetes cluster, the proxy
// as bootstrap creates it, an internet as the destination, and the demo.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"egress.scw/hack/local/environment"
	"egress.scw/hack/local/machine"
	"egress.scw/hack/local/process"
	"egress.scw/hack/local/progress"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the default action is restored: a second one
	// ends the program at once.
	context.AfterFunc(ctx, stop)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "local",
		Short:         "The whole product on one machine",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		upCommand(),
		&cobra.Command{
			Use:   "down",
			Short: "Remove the environment, whatever its state",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return environment.Down(cmd.Context(), progress.New(cmd.ErrOrStderr()))
			},
		},
		&cobra.Command{
			Use:   "clean",
			Short: "Remove the remains of killed tests: processes, folders, and as root machines and network namespaces",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				if os.Geteuid() != 0 {
					return process.RemoveTemporary(cmd.Context()) // without root there are no other leftovers
				}
				return machine.RemoveTests(cmd.Context())
			},
		},
		&cobra.Command{
			Use:   "status",
			Short: "Show the existing parts of the environment",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return environment.Status(cmd.Context(), cmd.OutOrStdout())
			},
		},
		&cobra.Command{
			Use:   "prometheus",
			Short: "Run Prometheus in the environment, with the alert rules of the chart",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return environment.Prometheus(cmd.Context(), progress.New(cmd.ErrOrStderr()), cmd.OutOrStdout())
			},
		},
		buildCommand(), demoCommand(),
		nodeInitCommand(), netpolCommand(), internetCommand(), scalewayCommand(),
	)
	return root
}

func demoCommand() *cobra.Command {
	var options environment.Options
	command := &cobra.Command{
		Use:   "demo",
		Short: "Bring the environment up if necessary, and deploy the demo",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return environment.Demo(cmd.Context(), progress.New(cmd.ErrOrStderr()), options, cmd.OutOrStdout())
		},
	}
	addRelease(command, &options)
	return command
}

func buildCommand() *cobra.Command {
	var cni string
	command := &cobra.Command{
		Use:   "build",
		Short: "Build every program of the environment without starting any",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return environment.Build(cmd.Context(), progress.New(cmd.ErrOrStderr()), cni)
		},
	}
	addCNI(command, &cni)
	return command
}

func addCNI(command *cobra.Command, cni *string) {
	command.Flags().StringVar(cni, "cni", environment.CNIRouted,
		"network of the pods: "+environment.CNIRouted+" (the plugin ptp, with an enforcer of its own) or "+environment.CNICilium)
}

func addRelease(command *cobra.Command, options *environment.Options) {
	command.Flags().StringVar(&options.Release, "release", "", "folder of a release whose images and chart are used (default: those of the checkout)")
}

func upCommand() *cobra.Command {
	var options environment.Options
	command := &cobra.Command{
		Use:   "up",
		Short: "Bring the environment up: cluster, proxy, internet",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := environment.Up(cmd.Context(), progress.New(cmd.ErrOrStderr()), options)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "up: export KUBECONFIG=%s\n", e.Kubeconfig())
			return nil
		},
	}
	addRelease(command, &options)
	addCNI(command, &options.CNI)
	command.Flags().IntVar(&options.KwokNodes, "kwok-nodes", 0, "nodes beside the real one that exist in the API only")
	return command
}
