// Package helm3 installs and upgrades charts with the library of Helm 3, which
// applies manifests in another way than Helm 4. Package helm is Helm 4.
package helm3

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"

	"egress.scw/hack/local/helm"
)

// timeout bounds the wait for pods to become ready.
const timeout = 10 * time.Minute

// Install installs a release as Helm 3 does.
func Install(ctx context.Context, r helm.Release) error {
	configuration, err := newConfiguration(r)
	if err != nil {
		return err
	}
	chart, err := loader.Load(r.Chart)
	if err != nil {
		return err
	}
	install := action.NewInstall(configuration)
	install.ReleaseName, install.Namespace = r.Name, r.Namespace
	install.CreateNamespace = !r.NamespaceExists
	install.Wait, install.Timeout = r.Wait, timeout
	if r.PostRenderer != nil {
		install.PostRenderer = r.PostRenderer
	}
	if _, err := install.RunWithContext(ctx, chart, r.Values); err != nil {
		return fmt.Errorf("helm 3 install %s: %w", r.Name, err)
	}
	return nil
}

// Upgrade upgrades a release as Helm 3 does.
func Upgrade(ctx context.Context, r helm.Release) error {
	configuration, err := newConfiguration(r)
	if err != nil {
		return err
	}
	chart, err := loader.Load(r.Chart)
	if err != nil {
		return err
	}
	upgrade := action.NewUpgrade(configuration)
	upgrade.Namespace = r.Namespace
	upgrade.Wait, upgrade.Timeout = r.Wait, timeout
	if r.PostRenderer != nil {
		upgrade.PostRenderer = r.PostRenderer
	}
	if _, err := upgrade.RunWithContext(ctx, r.Name, chart, r.Values); err != nil {
		return fmt.Errorf("helm 3 upgrade %s: %w", r.Name, err)
	}
	return nil
}

func newConfiguration(r helm.Release) (*action.Configuration, error) {
	flags := genericclioptions.NewConfigFlags(true)
	flags.KubeConfig, flags.Namespace = &r.Kubeconfig, &r.Namespace
	flags.WrapConfigFn = func(config *rest.Config) *rest.Config {
		config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil } // the cluster is on this machine
		return config
	}
	configuration := &action.Configuration{}
	return configuration, configuration.Init(flags, r.Namespace, "secrets", func(string, ...any) {})
}
