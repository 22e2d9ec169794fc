package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/controller"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/netpol"
)

// options are the flags as they were given.
type options struct {
	// policy and injection are declared by who consumes them. What both need,
	// the proxy's address, is in policy.
	policy    netpol.Options
	injection inject.ClusterOptions
	egress    []string
	protected []string

	webhookAddress string
	webhookPort    int
	certDir        string
	metricsAddress string
	probeAddress   string

	leaderElect             bool
	leaderElectionNamespace string

	logLevel    string
	showVersion bool
}

// settings are the flags as they are meant.
type settings struct {
	policy    netpol.Cluster
	injection *inject.Cluster
	egress    controller.EgressAddresses
	protected sets.Set[string]
	logLevel  slog.Level
}

func newFlagSet(o *options) *pflag.FlagSet {
	flags := pflag.NewFlagSet("webhook", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.Usage = func() {} // run prints the help, and to standard output

	flags.StringSliceVar(&o.policy.ProxyAddresses, "proxy-address", nil,
		"`IP` address of the proxy; may be repeated (pods are given the first, NetworkPolicies admit them all)")
	flags.StringSliceVar(&o.egress, "egress-address", nil,
		"IP `address` that requests leave the proxy by, for the tenants' status; TENANT=ADDRESS: that of a tenant with one of its own; may be repeated")
	flags.StringVar(&o.injection.ClusterDomain, "cluster-domain", "cluster.local",
		"DNS `domain` of the cluster, for NO_PROXY")
	flags.StringSliceVar(&o.injection.ClusterCIDRs, "cluster-cidr", nil,
		"`CIDR` of Services, pods or nodes, for NO_PROXY; may be repeated")
	flags.StringVar(&o.policy.DNSNamespace, "dns-namespace", "kube-system",
		"`namespace` of the cluster's DNS pods")
	flags.StringVar(&o.policy.DNSPodLabels, "dns-pod-labels", "k8s-app=kube-dns",
		"`labels` of the cluster's DNS pods, key=value, separated by commas")
	flags.StringVar(&o.policy.NodeLocalDNS, "node-local-dns", "",
		"`IP` address of the DNS cache on every node, if there is one")
	flags.StringSliceVar(&o.protected, "protected-namespace", []string{"kube-system"},
		"`namespace` that can belong to no tenant, whatever its label says, as the cluster or the webhook depends on it; may be repeated")

	flags.StringVar(&o.webhookAddress, "webhook-bind-address", "",
		"`IP` address on which admission requests are served (default all)")
	flags.IntVar(&o.webhookPort, "webhook-port", 9443, "`port` on which admission requests are served")
	flags.StringVar(&o.certDir, "cert-dir", "/etc/egress-webhook/tls",
		"`directory` of the serving certificate: tls.crt and tls.key, read again when they change")
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080",
		"`address` on which /metrics is served; 0 for nowhere")
	flags.StringVar(&o.probeAddress, "health-probe-bind-address", ":8081",
		"`address` on which /healthz and /readyz are served; 0 for nowhere")

	flags.BoolVar(&o.leaderElect, "leader-elect", true,
		"run the controllers on one replica only; all of them serve admission requests")
	flags.StringVar(&o.leaderElectionNamespace, "leader-election-namespace", "",
		"`namespace` of the Lease that elects the leader (default the pod's own)")

	flags.StringVar(&o.logLevel, "log-level", "info", "what is logged, as JSON to standard error: debug, info or error")
	flags.BoolVar(&o.showVersion, "version", false, "print the version and exit")
	return flags
}

// parseFlags reads the command line. The error is pflag.ErrHelp when it asks
// for help.
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
		return nil, fmt.Errorf("unknown argument %q: everything is said with flags (see webhook --help)", flags.Arg(0))
	}
	return &o, nil
}

// validate gives the flags their meaning. The error lists all that are wrong.
// Where pods find the API server is a fact of the environment, not a flag.
func (o *options) validate(apiServerHost, version string) (*settings, error) {
	var s settings
	var errs field.ErrorList
	var err error

	s.policy, err = netpol.NewCluster(o.policy)
	errs = append(errs, byFlag(err)...)

	injection := o.injection
	injection.APIServerHost, injection.Version = apiServerHost, version
	if len(o.policy.ProxyAddresses) > 0 {
		injection.ProxyAddress = o.policy.ProxyAddresses[0]
	}
	s.injection, err = inject.NewCluster(injection)
	errs = append(errs, byFlag(err)...)

	s.egress, err = controller.ParseEgressAddresses(o.egress)
	errs = append(errs, byFlag(err)...)

	s.protected = sets.New(o.protected...)
	errs = append(errs, o.validateProtected()...)

	s.logLevel, err = parseLevel(o.logLevel)
	if err != nil {
		errs = append(errs, field.NotSupported(field.NewPath("--log-level"), o.logLevel, []string{"debug", "info", "error"}))
	}
	errs = append(errs, o.validateServers()...)
	if len(errs) > 0 {
		return nil, flagErrors(errs)
	}
	return &s, nil
}

func (o *options) validateProtected() field.ErrorList {
	var errs field.ErrorList
	for i, namespace := range o.protected {
		for _, problem := range validation.IsDNS1123Label(namespace) {
			errs = append(errs, field.Invalid(field.NewPath("--protected-namespace").Index(i), namespace, problem))
		}
	}
	return errs
}

func (o *options) validateServers() field.ErrorList {
	var errs field.ErrorList
	if o.webhookAddress != "" {
		if _, err := netip.ParseAddr(o.webhookAddress); err != nil {
			errs = append(errs, field.Invalid(field.NewPath("--webhook-bind-address"), o.webhookAddress, "must be an IP address, or empty for all"))
		}
	}
	for _, problem := range validation.IsValidPortNum(o.webhookPort) {
		errs = append(errs, field.Invalid(field.NewPath("--webhook-port"), o.webhookPort, problem))
	}
	if o.certDir == "" {
		errs = append(errs, field.Required(field.NewPath("--cert-dir"), "name the directory of tls.crt and tls.key"))
	}
	errs = append(errs, validateListen("--metrics-bind-address", o.metricsAddress)...)
	errs = append(errs, validateListen("--health-probe-bind-address", o.probeAddress)...)
	if o.leaderElectionNamespace != "" {
		for _, problem := range validation.IsDNS1123Label(o.leaderElectionNamespace) {
			errs = append(errs, field.Invalid(field.NewPath("--leader-election-namespace"), o.leaderElectionNamespace, problem))
		}
	}
	return errs
}

// validateListen accepts what controller-runtime's servers do: host:port, with
// or without the host, and "0" for no server.
func validateListen(flag, address string) field.ErrorList {
	if address == "0" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return field.ErrorList{field.Invalid(field.NewPath(flag), address, `must be an address to listen on, such as ":8080", or 0 for none`)}
	}
	return nil
}

// parseLevel reads a level. slog's debug is four levels of logr's below info:
// it shows what libraries say in detail, too.
func parseLevel(text string) (slog.Level, error) {
	switch text {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("unknown level %q", text)
}

// byFlag says what is wrong in the words of the command line: packages report
// on fields of their options, and know no flags.
func byFlag(err error) field.ErrorList {
	if err == nil {
		return nil
	}
	problems := []error{err}
	if all, ok := errors.AsType[utilerrors.Aggregate](err); ok {
		problems = all.Errors()
	}
	var errs field.ErrorList
	for _, err := range problems {
		problem, ok := errors.AsType[*field.Error](err)
		if !ok {
			errs = append(errs, field.InternalError(field.NewPath("flags"), err))
			continue
		}
		name, rest := problem.Field, ""
		if i := strings.IndexByte(name, '['); i >= 0 {
			name, rest = name[:i], name[i:]
		}
		// What injection says of the first proxy, the policy says of it too.
		if name != "proxyAddress" {
			problem.Field = flagOf(name) + rest
			errs = append(errs, problem)
		}
	}
	return errs
}

func flagOf(name string) string {
	switch name {
	case "proxyAddresses":
		return "--proxy-address"
	case "egressAddresses":
		return "--egress-address"
	case "dnsNamespace":
		return "--dns-namespace"
	case "dnsPodLabels":
		return "--dns-pod-labels"
	case "nodeLocalDNS":
		return "--node-local-dns"
	case "clusterDomain":
		return "--cluster-domain"
	case "clusterCIDRs":
		return "--cluster-cidr"
	case "apiServerHost":
		return "environment variable KUBERNETES_SERVICE_HOST"
	}
	return name
}

// flagErrors is one error of one line each, so that a log of a pod that does
// not start can be read.
func flagErrors(errs field.ErrorList) error {
	lines := make([]string, 0, len(errs)+2)
	lines = append(lines, "wrong settings:")
	for _, err := range errs {
		lines = append(lines, "  "+err.Error())
	}
	return errors.New(strings.Join(append(lines, "see webhook --help"), "\n"))
}

// help is what --help prints.
func help() string {
	return `webhook gives the pods of tenants their proxy variables, and the namespaces of
tenants the NetworkPolicy that closes every other way out. A namespace joins a
tenant with the label egress.scw/tenant=<EgressTenant>.

It is made to run in the cluster, installed by the chart egress-webhook, which
sets these flags from its values. On a workstation it needs a kubeconfig:

  export KUBECONFIG=kubeconfig.yaml KUBERNETES_SERVICE_HOST=10.32.0.1
  webhook --proxy-address 172.16.28.8 \
    --cluster-cidr 10.32.0.0/20,100.64.0.0/15,172.16.28.0/22 \
    --cert-dir ./tls --leader-election-namespace egress-system

Flags:
` + newFlagSet(&options{}).FlagUsages() + `
Environment:
  KUBECONFIG               kubeconfig to use; without it, the pod's service account
  KUBERNETES_SERVICE_HOST  API server as pods reach it, for NO_PROXY; set in every pod
`
}
