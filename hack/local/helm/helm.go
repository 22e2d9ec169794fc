// Package helm installs Helm charts with Helm's own library. It replaces the
// helm command.
package helm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"helm.sh/helm/v4/pkg/action"
	chartcommon "helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/cli/values"
	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/postrenderer"
	"helm.sh/helm/v4/pkg/release/common"
	helmrelease "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
)

// Release is an installation of a chart.
type Release struct {
	// Kubeconfig is the file with the cluster and the user to install as.
	Kubeconfig string
	// Name and Namespace are the release's. The namespace is created, unless
	// NamespaceExists: a user may be without the right to create one.
	Name, Namespace string
	NamespaceExists bool
	// Chart is the chart's folder or archive.
	Chart string
	// Values are the user's values, as in a values.yaml.
	Values map[string]any
	// Wait makes Install return only when everything is ready.
	Wait bool
	// ForceConflicts makes Upgrade take fields back that other clients have changed.
	ForceConflicts bool
	// PostRenderer, when set, changes the rendered manifests.
	PostRenderer postrenderer.PostRenderer
}

// LoadValues returns the values that helm install reads from --values FILE and
// --set. An element of set has the form image.tag=dev.
func LoadValues(file string, set ...string) (map[string]any, error) {
	options := values.Options{ValueFiles: []string{file}, Values: set}
	return options.MergeValues(nil)
}

// timeout bounds the wait for pods to become ready.
const timeout = 10 * time.Minute

// Install installs the release.
func (r Release) Install(ctx context.Context) error {
	configuration, err := r.configuration()
	if err != nil {
		return err
	}
	chart, err := loader.Load(r.Chart)
	if err != nil {
		return err
	}
	install := action.NewInstall(configuration)
	install.ReleaseName = r.Name
	install.Namespace = r.Namespace
	install.CreateNamespace = !r.NamespaceExists
	install.Timeout = timeout
	install.WaitStrategy = kube.HookOnlyStrategy
	if r.Wait {
		install.WaitStrategy = kube.StatusWatcherStrategy
	}
	install.PostRenderer = r.PostRenderer
	if _, err := install.RunWithContext(ctx, chart, r.Values); err != nil {
		return fmt.Errorf("helm install %s: %w", r.Name, err)
	}
	return nil
}

// Upgrade upgrades the release to the chart and the values.
func (r Release) Upgrade(ctx context.Context) error {
	configuration, err := r.configuration()
	if err != nil {
		return err
	}
	chart, err := loader.Load(r.Chart)
	if err != nil {
		return err
	}
	upgrade := action.NewUpgrade(configuration)
	upgrade.Namespace = r.Namespace
	upgrade.Timeout = timeout
	upgrade.WaitStrategy = kube.HookOnlyStrategy
	if r.Wait {
		upgrade.WaitStrategy = kube.StatusWatcherStrategy
	}
	upgrade.ForceConflicts = r.ForceConflicts
	upgrade.PostRenderer = r.PostRenderer
	if _, err := upgrade.RunWithContext(ctx, r.Name, chart, r.Values); err != nil {
		return fmt.Errorf("helm upgrade %s: %w", r.Name, err)
	}
	return nil
}

// Template renders the manifests of the release for a version of Kubernetes, without
// a cluster.
func (r Release) Template(ctx context.Context, kubernetes string) (string, error) {
	version, err := chartcommon.ParseKubeVersion(kubernetes)
	if err != nil {
		return "", err
	}
	chart, err := loader.Load(r.Chart)
	if err != nil {
		return "", err
	}
	install := action.NewInstall(action.NewConfiguration())
	install.DryRunStrategy = action.DryRunClient
	install.KubeVersion = version
	install.ReleaseName, install.Namespace = r.Name, r.Namespace
	install.PostRenderer = r.PostRenderer
	rendered, err := install.RunWithContext(ctx, chart, r.Values)
	if err != nil {
		return "", fmt.Errorf("helm template %s: %w", r.Name, err)
	}
	return rendered.(*helmrelease.Release).Manifest, nil
}

// Ensure installs the release if it is not installed. It replaces a release
// whose installation failed.
func (r Release) Ensure(ctx context.Context) error {
	configuration, err := r.configuration()
	if err != nil {
		return err
	}
	switch existing, err := action.NewGet(configuration).Run(r.Name); {
	case errors.Is(err, driver.ErrReleaseNotFound):
	case err != nil:
		return fmt.Errorf("helm get %s: %w", r.Name, err)
	case existing.(*helmrelease.Release).Info.Status == common.StatusDeployed:
		return nil
	default:
		if err := r.Uninstall(); err != nil {
			return err
		}
	}
	return r.Install(ctx)
}

// Uninstall removes the release.
func (r Release) Uninstall() error {
	configuration, err := r.configuration()
	if err != nil {
		return err
	}
	uninstall := action.NewUninstall(configuration)
	uninstall.Timeout = timeout
	uninstall.WaitStrategy = kube.StatusWatcherStrategy
	if _, err := uninstall.Run(r.Name); err != nil {
		return fmt.Errorf("helm uninstall %s: %w", r.Name, err)
	}
	return nil
}

func (r Release) configuration() (*action.Configuration, error) {
	flags := genericclioptions.NewConfigFlags(true)
	flags.KubeConfig = &r.Kubeconfig
	flags.Namespace = &r.Namespace
	flags.WrapConfigFn = func(config *rest.Config) *rest.Config {
		config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil } // the cluster is on this machine
		return config
	}
	configuration := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	return configuration, configuration.Init(flags, r.Namespace, "secrets")
}
