package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/kubectl-egress/audit"
	"egress.scw/webhook/kubectl-egress/suggest"
	"egress.scw/webhook/kubectl-egress/table"
)

func newSuggestCommand(a *app) *cobra.Command {
	var o suggest.Options
	var tenants []string
	command := &cobra.Command{
		Use:   "suggest TENANT [FILE...]",
		Short: "Propose the smallest allow list for the requests in an audit log",
		Long: `Read lines of the audit log, and print the tenant with the smallest list that covers
the requests that passed, as YAML to apply. Comments in it say what the list would have
denied. The tenant is that of the cluster, or of --tenants.

Files are the proxy's /var/log/squid/audit.log and its rotated files, or exports of the
log server, with or without the header of syslog, also compressed by gzip; without files,
the standard input. Memory is bounded, whatever the length of the log. Lines that are no
audit lines are counted.

Let the tenant work with mode Report, or without a list, for as long as its rarest job
takes: a list contains only the destinations that were requested meanwhile.`,
		Example: `  # from the proxy, in mode Report
  ssh root@PROXY cat /var/log/squid/audit.log | kubectl egress suggest client-a > client-a.yaml
  kubectl apply -f client-a.yaml

  # .example.com instead of several names below example.com
  kubectl egress suggest client-a --fold audit.log audit.log-20261128-1795824000.gz

  # also what the present list denies, without a cluster
  kubectl egress suggest client-a --denied --tenants egress.yaml audit.log`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeTenantAndFiles,
		RunE: func(command *cobra.Command, args []string) error {
			if o.Least < 1 {
				return fmt.Errorf("--least: is %d, must be at least 1", o.Least)
			}
			tenant, err := a.tenant(command.Context(), args[0], tenants)
			if err != nil {
				return err
			}
			if !tenant.Spec.IsProxied() {
				return fmt.Errorf("EgressTenant %s has path %s, on which there is no allow list", tenant.Name, tenant.Spec.Path)
			}
			seen := suggest.NewSeen(args[0])
			read, err := a.readRecords(command, args[0], args[1:], func(record *audit.Record) error { seen.Add(record); return nil })
			if err != nil {
				return err
			}
			proposal := seen.Propose(tenant.Spec.AllowList(), o)
			proposal.Malformed = read.malformed
			switch {
			case read.ofTenant == 0:
				return fmt.Errorf("no list can be proposed: %s (%d malformed lines)", read.unnamed(args[0]), read.malformed)
			case len(proposal.Allow.Domains) == 0:
				return fmt.Errorf("no list can be proposed: of %d requests of tenant %s, none passed to a name (%d malformed lines; --denied also considers denied requests)",
					proposal.Requests, args[0], read.malformed)
			}
			if err := applicable(tenant, &proposal); err != nil {
				return err
			}
			manifest, err := proposal.Manifest(tenant)
			if err != nil {
				return err
			}
			if a.output == outputYAML { // the manifest is YAML already
				a.output = ""
			}
			return a.print(proposal, func(table.Paint, bool) string { return manifest })
		},
	}
	command.Flags().BoolVar(&o.Fold, "fold", false, "replace several names below the same parent by .PARENT, which covers all names below it")
	command.Flags().BoolVar(&o.Denied, "denied", false, "also cover requests that were denied, or terminated, as far as a list can")
	command.Flags().IntVar(&o.Least, "least", 1, "`number` of requests that a destination needs to be covered")
	addTenants(command, &tenants)
	a.addOutput(command, outputYAML, outputJSON)
	return command
}

// applicable returns the error with which the API server would refuse the proposed list.
func applicable(tenant *v1alpha1.EgressTenant, proposal *suggest.Proposal) error {
	proposed := tenant.DeepCopy()
	proposed.Spec.Allow = &proposal.Allow
	errs := slices.DeleteFunc(proposed.Validate(), func(err *field.Error) bool { return !strings.HasPrefix(err.Field, "spec.allow") })
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("no valid list covers the requests: %w (--fold and --least make a shorter one)", errs.ToAggregate())
}

// completeTenantAndFiles completes the name of a tenant, then files.
func (a *app) completeTenantAndFiles(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return a.tenantNames(command.Context()), cobra.ShellCompDirectiveNoFileComp
}
