package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"
)

// options are the command line.
type options struct {
	settingsFile    string
	applyDefinition bool
	probe           bool
	showVersion     bool
}

func newFlagSet(o *options) *pflag.FlagSet {
	flags := pflag.NewFlagSet("webhook", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.Usage = func() {} // run prints the help to standard output
	flags.StringVar(&o.settingsFile, "settings", "/etc/egress-webhook/settings/settings.yaml",
		"settings `file`, of kind WebhookSettings; read once, at the start")
	flags.BoolVar(&o.applyDefinition, "apply-definition", false,
		"apply the definition of EgressTenant, wait until the API server serves it, and exit")
	flags.BoolVar(&o.probe, "probe", false,
		"try the connections in the environment variable EGRESS_PROBE_PLAN, print the results, and exit (for kubectl egress verify)")
	flags.BoolVar(&o.showVersion, "version", false, "print the version and exit")
	return flags
}

// parseFlags parses the command line. The error is pflag.ErrHelp if the command
// line asks for help.
func parseFlags(args []string) (*options, error) {
	var o options
	flags := newFlagSet(&o)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w (see webhook --help)", err)
	case flags.NArg() > 0:
		return nil, fmt.Errorf("unknown argument %q: write everything into the settings file (see webhook --help)", flags.Arg(0))
	}
	return &o, nil
}

// help is the output of --help.
func help() string {
	return `webhook injects proxy variables into the pods of tenants, and keeps a
NetworkPolicy in the namespaces of tenants that closes every other egress path.
A namespace joins a tenant by the label egress.scw/tenant=<EgressTenant>.

It runs in the cluster, installed by the chart egress-webhook, which writes the
settings file from its values. On a workstation it needs a kubeconfig:

  export KUBECONFIG=kubeconfig.yaml KUBERNETES_SERVICE_HOST=10.32.0.1
  webhook --settings settings.yaml

settings.yaml, in which other fields have defaults:

  apiVersion: egress.scw/v1alpha1
  kind: WebhookSettings
  proxy:
    addresses: [172.16.28.8]
  cluster:
    cidrs: [10.32.0.0/20, 100.64.0.0/15, 172.16.28.0/22]
  admission:
    certDir: ./tls
  leaderElection:
    namespace: egress-system

Flags:
` + newFlagSet(&options{}).FlagUsages() + `
Environment:
  KUBECONFIG               kubeconfig to use (default the pod's service account)
  KUBERNETES_SERVICE_HOST  address of the API server for pods, for NO_PROXY; Kubernetes
                           sets it in every pod
`
}
