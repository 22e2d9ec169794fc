package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"egress.scw/webhook/kubectl-egress/coverage"
	"egress.scw/webhook/kubectl-egress/explain"
	"egress.scw/webhook/kubectl-egress/table"
	"egress.scw/webhook/kubectl-egress/verify"
)

// verifyOptions are the flags of the command verify.
type verifyOptions struct {
	image, url        string
	direct, resolvers []string
	timeout           time.Duration
}

const defaultVerifyTimeout = 2 * time.Minute

func newVerifyCommand(a *app) *cobra.Command {
	var o verifyOptions
	command := &cobra.Command{
		Use:   "verify [TENANT]",
		Short: "Prove the guarantees of a tenant from inside a pod",
		Long: `Run a short-lived pod in a namespace of the tenant, of every tenant without an argument.
It gets the proxy's answer on the tenant's port, or by the pod's sidecar, requests a URL
by the proxy and, if the sidecar captures names, without proxy settings. It tries whatever
must be closed: direct connections, the ports of other tenants and of the proxy machine,
the metadata service, other DNS servers, public names by the closed DNS server. The result
is compared with the EgressTenant: the Revision, the allow list, the published source
address. Namespaces, policies, guards and existing pods of the tenant are checked as well.

It takes the rights to create, get and delete pods, and to read their log. The pod satisfies
the Pod Security Standard restricted, has no token, and is deleted at the end. Its image is
the webhook's; name a copy in a registry that the namespace can pull from with --image.

Exit codes: 0 no findings, 1 a check failed, 2 an error.`,
		Example: `  kubectl egress verify client-a
  kubectl egress verify client-a --namespace orders --url http://ifconfig.example.com/

  # every tenant, for a pipeline
  kubectl egress verify -o junit > egress.xml`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeTenant,
		RunE: func(command *cobra.Command, args []string) error {
			in, err := o.input()
			if err != nil {
				return err
			}
			results, err := a.verify(command.Context(), args, &o, in)
			if err != nil {
				return err
			}
			if err := a.printResults(results); err != nil {
				return err
			}
			if slices.ContainsFunc(results, func(r verify.Result) bool { return r.Failures() > 0 }) {
				return errNegative
			}
			return nil
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.image, "image", "", "`image` of the pod (default the webhook's own image)")
	flags.StringVar(&o.url, "url", "http://httpbin.org/ip", "`URL` that reports the source address of requests, in JSON or as text")
	flags.StringSliceVar(&o.direct, "direct", []string{"1.1.1.1:443", "1.1.1.1:80"}, "public `addresses` that must not be reached without the proxy")
	flags.StringSliceVar(&o.resolvers, "resolvers", []string{"1.1.1.1:53", "8.8.8.8:53"}, "`addresses` of DNS servers outside of the cluster, which must not be reached")
	flags.DurationVar(&o.timeout, "timeout", defaultVerifyTimeout, "maximum `duration` for each tenant")
	a.addOutput(command, outputWide, outputJSON, outputYAML, outputJUnit)
	return command
}

// input returns the part of the Input that the flags state.
func (o *verifyOptions) input() (verify.Input, error) {
	var in verify.Input
	var err error
	if in.URL, err = explain.ParseTarget(o.url); err != nil {
		return in, fmt.Errorf("--url: %w", err)
	}
	if in.Direct, err = parseAddresses("--direct", o.direct); err != nil {
		return in, err
	}
	in.Resolvers, err = parseAddresses("--resolvers", o.resolvers)
	return in, err
}

func parseAddresses(flag string, texts []string) ([]netip.AddrPort, error) {
	var addresses []netip.AddrPort
	for _, text := range texts {
		address, err := netip.ParseAddrPort(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %q must be an IP address and a port, such as 1.1.1.1:443", flag, text)
		}
		addresses = append(addresses, address)
	}
	return addresses, nil
}

// verify verifies the tenant of the arguments, or all tenants with namespaces.
func (a *app) verify(ctx context.Context, args []string, o *verifyOptions, in verify.Input) ([]verify.Result, error) {
	cluster, err := a.connect(a.flags)
	if err != nil {
		return nil, err
	}
	if in.State, err = cluster.read(ctx, a.releaseNamespace, ""); err != nil {
		return nil, err
	}
	if o.image == "" {
		if _, o.image, err = cluster.webhook(ctx, a.releaseNamespace); err != nil {
			return nil, err
		}
	}
	tenants := args
	if len(tenants) == 0 {
		for i := range in.State.Tenants {
			if name := in.State.Tenants[i].Name; len(in.State.NamespacesOf(name)) > 0 {
				tenants = append(tenants, name)
			}
		}
	}
	results := []verify.Result{}
	for _, name := range tenants {
		tenantInput := in
		if tenantInput.Tenant = in.State.Tenant(name); tenantInput.Tenant == nil {
			return nil, fmt.Errorf("there is no EgressTenant %s", name)
		}
		single := len(args) > 0
		tenantInput.Namespace, err = a.verifyNamespace(in.State, name, single)
		if errs := tenantInput.Tenant.Validate(); err == nil && len(errs) > 0 {
			err = fmt.Errorf("EgressTenant %s is not valid: %w", name, errs.ToAggregate())
		}
		switch {
		case err != nil && single:
			return nil, err
		case err != nil: // the other tenants are verified all the same
			tenantInput.NotRun = err.Error()
		}
		result, err := cluster.verify(ctx, tenantInput, o)
		if err != nil {
			return nil, err
		}
		results = append(results, result)
	}
	return results, nil
}

// verify verifies one tenant, without a pod if the input states why none can run.
func (c *cluster) verify(ctx context.Context, in verify.Input, o *verifyOptions) (verify.Result, error) {
	for _, namespace := range in.State.NamespacesOf(in.Tenant.Name) {
		err := c.eachPod(ctx, namespace, func(pod *corev1.Pod) error {
			covered, err := coverage.OfPod(in.State, pod)
			in.Pods = append(in.Pods, covered)
			return err
		})
		if err != nil {
			return verify.Result{}, err
		}
	}
	if in.NotRun != "" {
		return verify.Judge(in), nil
	}
	pod, err := probePod(in.Namespace.Name, o.image, verify.Plan(in))
	if err != nil {
		return verify.Result{}, err
	}
	bounded, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	in.Report, err = c.runProbe(bounded, pod)
	switch {
	case ctx.Err() != nil && errors.Is(err, errNotDeleted):
		return verify.Result{}, err
	case ctx.Err() != nil:
		return verify.Result{}, ctx.Err()
	case err != nil:
		in.NotRun = err.Error()
	}
	return verify.Judge(in), nil
}

// printResults prints the results in the format of --output.
func (a *app) printResults(results []verify.Result) error {
	if a.output == outputJUnit {
		return verify.WriteJUnit(a.stdout, results)
	}
	return a.print(results, func(paint table.Paint, wide bool) string { return verify.Text(results, paint, wide) })
}
