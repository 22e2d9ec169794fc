package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"egress.scw/webhook/kubectl-egress/state"
	"egress.scw/webhook/settings"
)

func addTenants(command *cobra.Command, files *[]string) {
	command.Flags().StringArrayVar(files, "tenants", nil,
		"`file` with tenants, instead of those of the cluster: EgressTenants, egress.yaml or values of the chart; Namespaces and Services in it are read too. Repeatable")
	_ = command.MarkFlagFilename("tenants", "yaml", "yml", "json") // fails only for an undefined flag
}

// readObjects reads the objects of files.
func readObjects(files []string) (*state.Objects, error) {
	objects := &state.Objects{}
	for _, file := range files {
		data, err := os.ReadFile(file) //nolint:gosec // the user names the file
		if err != nil {
			return nil, fmt.Errorf("--tenants: %w", err)
		}
		if err := objects.Add(data); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return objects, nil
}

// readInput reads a file, or with "-" the standard input.
func (a *app) readInput(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(a.stdin)
	}
	return os.ReadFile(file) //nolint:gosec // the user names the file
}

// stateOf returns the State of files.
func stateOf(settingsFile string, tenants []string, serviceHost, version string) (*state.State, error) {
	s, err := settings.Load(settingsFile)
	if err != nil {
		return nil, err
	}
	objects, err := readObjects(tenants)
	if err != nil {
		return nil, err
	}
	cluster, err := state.NewCluster(s, serviceHost, version)
	if err != nil {
		return nil, fmt.Errorf("--service-host or %s: %w", settingsFile, err)
	}
	for i := range objects.Tenants {
		// A tenant of egress.yaml has no status: its policy is explained as it is once the
		// proxy serves the tenant.
		if tenant := &objects.Tenants[i]; tenant.Spec.IsProxied() && tenant.Status.ProxyURL == "" {
			tenant.Status.ProxyURL, tenant.Status.AdmittedPort = cluster.ProxyURL(tenant), tenant.Spec.ProxyPort()
		}
	}
	return &state.State{
		Settings: s, Cluster: cluster, Tenants: objects.Tenants, Namespaces: objects.Namespaces, Services: objects.Services,
	}, nil
}
