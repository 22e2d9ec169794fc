package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"egress.scw/bootstrap/config"
)

// initOptions are the flags of init.
type initOptions struct {
	answers answers

	createKey, rotate, force bool
	expiresIn                time.Duration
	output                   string
	envFile, namespace       string
}

// Values of --output of init, and the bounds of --expires-in. Scaleway has no bound of
// its own; a key that is never rotated is a risk.
const (
	outputFiles  = "files"
	outputSecret = "secret"

	defaultExpiry = 90 * 24 * time.Hour
	minExpiry     = time.Hour
	maxExpiry     = 366 * 24 * time.Hour
)

func (p *program) initCommand() *cobra.Command {
	o := &initOptions{}
	command := &cobra.Command{
		Use:   "init",
		Short: "Write egress.yaml and .env, and create or rotate the API key of bootstrap",
		Long: `init writes an egress.yaml and an .env with the credentials, which it checks
with Scaleway first. On a terminal it asks for each value that no flag has;
otherwise it takes the defaults. An existing egress.yaml is kept, and used.

The credentials are those of the environment or of the Scaleway configuration
file; on a terminal, init asks for missing ones, without showing the secret
key. With --create-key they must be those of an administrator: init creates an
IAM application, a policy with exactly the permissions that the stack needs,
and an API key that expires, and writes that key into .env.

--rotate replaces the key in .env: a new key of the same application is
written, proved by reading the resources of the stack, and then the former key
is deleted. After an interruption, the same command continues.

With --output secret, standard output is a Kubernetes Secret and nothing else,
for a pipe into kubeseal or sops, and no .env is written. --rotate then keeps
the former key, because the Secret is not in use yet, and prints its name.

Nothing else prints the secret key, and no flag contains it. Files that exist
are kept: in .env only the lines of the credentials change, and --force is
needed to write over another key, or over an egress.yaml that the flags of its
fields would change.`,
		Example: `  bootstrap init
  bootstrap init --name staging --zone nl-ams-1 --tenants shop,billing
  SCW_PROFILE=admin bootstrap init --create-key
  SCW_PROFILE=admin bootstrap init --rotate
  bootstrap init --create-key --output secret | kubeseal --format yaml`,
		Args: cobra.NoArgs,
	}
	run := func(ctx context.Context) error {
		return (&initRun{program: p, options: o, changed: command.Flags().Changed, asker: newAsker(p)}).run(ctx)
	}
	command.RunE = p.bounded(run)
	o.addFlags(command)
	p.options.addTimeout(command)
	return command
}

func (o *initOptions) addFlags(command *cobra.Command) {
	flags := command.Flags()
	a := &o.answers
	flags.StringVar(&a.name, "name", "production", "`name` of the stack")
	flags.StringVar(&a.project, "project", "", "`ID` of the Scaleway project; default: that of the credentials")
	flags.StringVar(&a.region, "region", "", "`region`; default: that of the zone, or fr-par")
	flags.StringVar(&a.zone, "zone", "", "`zone` of the machines; default: the first of the region")
	flags.StringVar(&a.network, "network", "172.16.0.0/22", "range of the Private Network to create, or `ID` of an existing one")
	flags.StringVar(&a.privateIP, "private-ip", "", "`address` of the proxy in the network; default: the eighth of its range")
	flags.StringVar(&a.proxyType, "proxy-type", defaultProxyType(), "commercial `type` of the proxy")
	flags.StringVar(&a.cluster, "cluster", clusterCreate, "create, none, or the `ID` of an existing cluster")
	flags.StringVar(&a.tenants, "tenants", "client-a", "comma-separated `names` of the first tenants")
	flags.BoolVar(&o.createKey, "create-key", false, "create an IAM application, its policy and an API key for bootstrap")
	flags.BoolVar(&o.rotate, "rotate", false, "replace the API key in .env by a new one of the same application")
	flags.DurationVar(&o.expiresIn, "expires-in", defaultExpiry, "`duration` until a new API key expires, 1h to 8784h (366 days)")
	flags.StringVarP(&o.output, "output", "o", outputFiles, "`form` of the credentials: files, or secret for a Kubernetes Secret on standard output")
	flags.StringVar(&o.envFile, "env-file", "", "`file` for the credentials; default: .env beside egress.yaml")
	flags.StringVar(&o.namespace, "namespace", "egress-system", "`namespace` of the Kubernetes Secret")
	flags.BoolVar(&o.force, "force", false, "overwrite an existing egress.yaml where flags ask for another one, and another API key in .env")
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{outputFiles, outputSecret}, cobra.ShellCompDirectiveNoFileComp))
}

// defaultProxyType returns the default of spec.proxy.type.
func defaultProxyType() string {
	var empty config.Egress
	empty.SetDefaults()
	return empty.Spec.Proxy.Type
}

// validate returns everything that is wrong with the values of the flags.
func (o *initOptions) validate(terminals terminals) error {
	var errs []error
	if all := []string{outputFiles, outputSecret}; !slices.Contains(all, o.output) {
		errs = append(errs, notOneOf("--output", o.output, all))
	}
	if o.output == outputSecret && terminals.stdout {
		errs = append(errs, errors.New("--output: standard output is a terminal, which would show the secret key: pipe it into kubeseal or sops"))
	}
	if o.expiresIn < minExpiry || o.expiresIn > maxExpiry {
		errs = append(errs, fmt.Errorf("--expires-in: is %s, must be between %s and %s", o.expiresIn, minExpiry, maxExpiry))
	}
	if o.createKey && o.rotate {
		errs = append(errs, errors.New("--rotate: cannot be combined with --create-key: it creates a key itself"))
	}
	return errors.Join(errs...)
}
