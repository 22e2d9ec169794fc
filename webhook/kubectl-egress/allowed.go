package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/kubectl-egress/explain"
	"egress.scw/webhook/kubectl-egress/table"
)

func newAllowedCommand(a *app) *cobra.Command {
	var files []string
	command := &cobra.Command{
		Use:   "allowed TENANT URL",
		Short: "Show whether the proxy allows a tenant a URL, and by which rule",
		Long: `Judge a request by the tenant's allow list, as Squid's rules do: the verdict and the
rule are those of the audit log. No request is made and no name is resolved, so that a
name that resolves to a private address is denied by the proxy all the same.

Exit codes: 0 the request passes (also if only mode Report lets it pass), 1 it is
denied, 2 an error.`,
		Example: `  # by the EgressTenant in the cluster
  kubectl egress allowed client-a https://api.github.com

  # before egress.yaml is applied, without a cluster
  kubectl egress allowed client-a example.com:8443 --tenants egress.yaml

  # in a script
  kubectl egress allowed client-a https://api.github.com -o json | jq -r .rule`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeTenant,
		RunE: func(command *cobra.Command, args []string) error {
			target, err := explain.ParseTarget(args[1])
			if err != nil {
				return err
			}
			tenant, err := a.tenant(command.Context(), args[0], files)
			if err != nil {
				return err
			}
			if errs := tenant.Validate(); len(errs) > 0 {
				return fmt.Errorf("EgressTenant %s is not valid: %w", tenant.Name, errs.ToAggregate())
			}
			verdict := explain.Allowed(tenant, target)
			return a.answer(!verdict.Passes(), verdict, func(paint table.Paint, _ bool) string { return verdict.Text(paint) + "\n" })
		},
	}
	addTenants(command, &files)
	a.addOutput(command, outputWide, outputJSON, outputYAML)
	return command
}

// tenant returns an EgressTenant of the files or, without files, of the cluster.
func (a *app) tenant(ctx context.Context, name string, files []string) (*v1alpha1.EgressTenant, error) {
	if len(files) > 0 {
		objects, err := readObjects(files)
		if err != nil {
			return nil, err
		}
		for i := range objects.Tenants {
			if objects.Tenants[i].Name == name {
				return &objects.Tenants[i], nil
			}
		}
		return nil, fmt.Errorf("the files of --tenants have no tenant %s", name)
	}
	cluster, err := a.connect(a.flags)
	if err != nil {
		return nil, err
	}
	var tenant v1alpha1.EgressTenant
	if err := cluster.client.Get(ctx, client.ObjectKey{Name: name}, &tenant); err != nil {
		return nil, fmt.Errorf("reading EgressTenant %s: %w", name, err)
	}
	return &tenant, nil
}

// completeTenant completes the name of a tenant as the first argument.
func (a *app) completeTenant(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.tenantNames(command.Context()), cobra.ShellCompDirectiveNoFileComp
}

// tenantNames returns the names of the tenants in the cluster. A completion has no place
// for errors.
func (a *app) tenantNames(ctx context.Context) []string {
	cluster, err := a.connect(a.flags)
	if err != nil {
		return nil
	}
	var list v1alpha1.EgressTenantList
	if err := cluster.client.List(ctx, &list); err != nil {
		return nil
	}
	var found []string
	for i := range list.Items {
		found = append(found, list.Items[i].Name)
	}
	return found
}
