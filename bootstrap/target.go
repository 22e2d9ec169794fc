package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"al.essio.dev/pkg/shellescape"

	"egress.scw/bootstrap/config"
	"egress.scw/bootstrap/stack"
)

// target is the stack that a command works on.
type target struct {
	config *config.Egress
	spec   stack.Spec
	// file is the path of the configuration file, as the user wrote it.
	file  string
	cloud stack.Cloud

	account *account
}

// kubeconfigFile is the path of the kubeconfig. Relative paths of outputs start at
// the folder of egress.yaml.
func (t *target) kubeconfigFile() string { return t.besideConfig(t.config.Spec.Outputs.Kubeconfig) }

// valuesFile is the path of the values of the chart.
func (t *target) valuesFile() string { return t.besideConfig(t.config.Spec.Outputs.Values) }

// knownHostsFile is the path of the known_hosts file.
func (t *target) knownHostsFile() string { return t.besideConfig(t.config.Spec.Outputs.KnownHosts) }

func (t *target) besideConfig(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(t.file), path)
}

// command is the shell command that runs a command of bootstrap for this stack.
func (t *target) command(name string) string {
	return "bootstrap " + name + " --config " + shellescape.Quote(t.file)
}

// connect reads the configuration and connects to Scaleway. It returns all errors
// that can be found without a request at once, before the first request.
func (p *program) connect(ctx context.Context, checks ...func(*target) error) (*target, error) {
	t, err := p.prepare(checks...)
	if err != nil {
		return nil, err
	}
	p.note("reading the resources of %s (project %s, %s)", t.spec.Name, t.spec.Project, t.spec.Zone)
	t.cloud, err = t.account.connect(ctx, t.spec)
	return t, err
}

// prepare reads the configuration and finds the credentials, without a request.
func (p *program) prepare(checks ...func(*target) error) (*target, error) {
	errs := []error{p.options.validate()}
	egress, invalid := readConfig(p.options.config)
	errs = append(errs, invalid)
	if egress != nil {
		errs = append(errs, p.checkAllPlaces(egress, invalid))
	}
	account, err := p.login()
	errs = append(errs, err)
	project := ""
	if account != nil {
		project = account.project
	}
	if account != nil && egress != nil && project == "" && egress.Spec.Project == "" {
		errs = append(errs, fmt.Errorf("%s: spec.project: is required, because the credentials have no project: set it, or SCW_DEFAULT_PROJECT_ID", p.options.config))
	}
	t := &target{config: egress, file: p.options.config, account: account}
	if invalid == nil {
		t.spec = stack.NewSpec(egress, project)
		t.spec.ReplaceAtOnce = !p.options.wait
		for _, check := range checks {
			errs = append(errs, check(t))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return t, nil
}

// note informs a waiting user.
func (p *program) note(format string, args ...any) {
	fmt.Fprintf(p.stderr, format+"\n", args...)
}
