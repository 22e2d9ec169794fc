package main

import (
	"log/slog"
	"net/netip"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"egress.scw/hack/local/environment"
	"egress.scw/hack/local/machine"
	"egress.scw/hack/local/netpol"
	"egress.scw/hack/local/node"
)

// The commands here are internal: the environment runs them as its processes.

func nodeInitCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "node-init DIR",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return node.Init(cmd.Context(), args[0])
		},
	}
}

func netpolCommand() *cobra.Command {
	var kubeconfig, nodeName, podCIDR, socket string
	command := &cobra.Command{
		Use:    "netpol",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return err
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return err
			}
			prefix, err := netip.ParsePrefix(podCIDR)
			if err != nil {
				return err
			}
			enforcer := netpol.Enforcer{
				Client: client, Node: nodeName, PodCIDR: prefix, Socket: socket,
				Log: slog.New(slog.NewJSONHandler(os.Stderr, nil)),
			}
			return enforcer.Run(cmd.Context())
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig file")
	command.Flags().StringVar(&nodeName, "node", "", "name of the node")
	command.Flags().StringVar(&podCIDR, "pod-cidr", "", "range of the node's pods")
	command.Flags().StringVar(&socket, "socket", "", "Unix socket on which the CNI plugin reports pods")
	return command
}

func internetCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "internet",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return environment.ServeInternet(cmd.Context())
		},
	}
}

func scalewayCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "scaleway ROOT PACKAGES",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return environment.ServeScaleway(cmd.Context(), machine.RootFS{Root: args[0], Packages: args[1]})
		},
	}
}
