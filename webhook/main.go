// The webhook injects proxy variables into the pods of tenants, and keeps a
// NetworkPolicy in the namespaces of tenants that closes every other egress
// path.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"syscall"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/noproxy"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/controller"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/probe"
	"egress.scw/webhook/settings"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal restores the default handling: a second one ends the
	// process at once.
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "webhook:", err)
		os.Exit(1)
	}
}

// run is the program. It returns when the context has ended and all accepted
// requests are finished, or with an error.
func run(ctx context.Context, args []string) error {
	options, err := parseFlags(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		_, err = fmt.Fprint(os.Stdout, help())
		return err
	case err != nil:
		return err
	case options.showVersion:
		_, err = fmt.Fprintln(os.Stdout, buildVersion())
		return err
	case options.applyDefinition:
		return applyDefinition(ctx)
	case options.probe:
		return probe.Main(ctx, os.Stdout, os.Getenv)
	}
	s, injection, err := load(options.settingsFile)
	if err != nil {
		return err
	}
	logger := setUpLogging(s.LogLevel)
	limitMemory(s.MemoryLimit)

	// Load the certificate first: without it, the server cannot answer.
	dir := s.Admission.CertDir
	certificates, err := certwatcher.New(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		return fmt.Errorf("loading the serving certificate (tls.crt and tls.key in admission.certDir %s): %w", dir, err)
	}
	manager, err := newManager(s, certificates, logger)
	if err != nil {
		return err
	}
	plugins, err := controller.PluginPolicies(manager.GetRESTMapper())
	if err != nil {
		return err
	}
	if err := controller.StartInformers(ctx, manager.GetCache(), plugins); err != nil {
		return err
	}
	drain := newDrainer(drainPeriod)
	if err := addHandlers(ctx, manager, s, injection, plugins, certificates, drain, logger); err != nil {
		return err
	}
	logger.Info("starting", "version", buildVersion(), "settings", options.settingsFile, "proxies", s.Proxy.Addresses)
	running, cancel := drain.delay(ctx)
	defer cancel()
	if err := runUntilDone(running, manager); err != nil {
		return fmt.Errorf("running: %w", err)
	}
	return nil
}

// load reads the settings file, and the address of the API server from the
// environment, which Kubernetes sets in every pod.
func load(file string) (*settings.Settings, *inject.Cluster, error) {
	const variable = "KUBERNETES_SERVICE_HOST"
	s, err := settings.Load(file)
	apiServer, hostErr := noproxy.Parse(os.Getenv(variable))
	if hostErr != nil {
		hostErr = fmt.Errorf("environment variable %s must be the address or name of the API server for pods: %w", variable, hostErr)
	}
	if err := errors.Join(err, hostErr); err != nil {
		return nil, nil, err
	}
	injection, err := inject.NewCluster(s, apiServer, buildVersion())
	if err != nil {
		return nil, nil, fmt.Errorf("wrong settings in %s:\n  %w", file, err)
	}
	return s, injection, nil
}

func newManager(s *settings.Settings, certificates *certwatcher.CertWatcher, logger *slog.Logger) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{admissionregistrationv1.AddToScheme, certmanagerv1.AddToScheme, corev1.AddToScheme, discoveryv1.AddToScheme, networkingv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering types: %w", err)
		}
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the API server (run in a pod, or set KUBECONFIG): %w", err)
	}
	namespace, err := ownNamespace(s)
	if err != nil {
		return nil, err
	}
	// No limit in the client: it would make admission wait behind the controllers,
	// while the API server's priority and fairness distinguishes its clients, and
	// returns 429 when it is busy. The number of concurrent reconciles bounds the
	// requests in flight.
	config.QPS = -1
	config.UserAgent = names.FieldOwner + "/" + buildVersion()
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:        scheme,
		Cache:         controller.CacheOptions(namespace),
		Client:        controller.ClientOptions(),
		WebhookServer: newWebhookServer(s.Admission.BindAddress, certificates, logger),
		// Metrics and probes are served by servers of bounded memory too.
		Metrics:                 metricsserver.Options{BindAddress: notServed},
		HealthProbeBindAddress:  notServed,
		LeaderElection:          s.LeaderElection.Enabled,
		LeaderElectionID:        names.FieldOwner,
		LeaderElectionNamespace: s.LeaderElection.Namespace,
		// Safe because the process ends when Start returns: run only returns
		// after it.
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       new(shutdownTimeout),
	})
	if err != nil {
		return nil, fmt.Errorf("setting up the manager: %w", err)
	}
	return manager, nil
}

// addHandlers adds admission and probes, which run on every replica, and the
// controllers, which run on the leader.
func addHandlers(ctx context.Context, manager ctrl.Manager, s *settings.Settings, injection *inject.Cluster, plugins []controller.PolicyKind, certificates *certwatcher.CertWatcher, drain *drainer, logger *slog.Logger) error {
	policies := controller.NewPolicyApplier(manager.GetClient(), s)
	if err := addAdmission(ctx, manager, s, injection, policies, drain, logger); err != nil {
		return err
	}
	if err := registerMetrics(manager, s, policies); err != nil {
		return err
	}
	if err := addControllers(ctx, manager, s, injection, plugins, policies); err != nil {
		return err
	}
	return errors.Join(
		manager.Add(certificates),
		addServers(manager, s, logger, map[string]healthz.Checker{
			"caches":   controller.CachesSynced(manager.GetCache()),
			"webhook":  manager.GetWebhookServer().StartedChecker(),
			"draining": drain.check,
		}),
	)
}

// registerMetrics registers the metrics of the controllers, and those of the
// build. The admission handler registers its own.
func registerMetrics(manager ctrl.Manager, s *settings.Settings, policies *controller.PolicyApplier) error {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: names.MetricBuildInfo, Help: "Always 1. The labels describe the running build.",
		ConstLabels: prometheus.Labels{"version": buildVersion(), "go_version": goruntime.Version()},
	})
	build.Set(1)
	for _, collector := range []prometheus.Collector{
		build, policies.Changes(), controller.NewStateCollector(manager.GetClient(), manager.Elected(), s.ProtectedNamespaces),
	} {
		if err := metrics.Registry.Register(collector); err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// buildVersion returns the linker's version, or else the version that Go
// recorded for the module.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
