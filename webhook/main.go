// The webhook gives pods of tenants their proxy variables, and namespaces of
// tenants the NetworkPolicy that closes every other way out.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"egress.scw/charts"
	"egress.scw/webhook/admission"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/controller"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the default is back: a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "webhook:", err)
		os.Exit(1)
	}
}

// run is the program: it returns when the context ends and everything accepted
// is finished, or when something is wrong.
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
	}
	settings, err := options.validate(os.Getenv("KUBERNETES_SERVICE_HOST"), buildVersion())
	if err != nil {
		return err
	}
	logger := setUpLogging(settings.logLevel)

	// Before anything else starts: a server without a certificate serves nobody.
	certificates, err := certwatcher.New(filepath.Join(options.certDir, "tls.crt"), filepath.Join(options.certDir, "tls.key"))
	if err != nil {
		return fmt.Errorf("loading the serving certificate (tls.crt and tls.key in --cert-dir %s): %w", options.certDir, err)
	}
	manager, err := newManager(options, certificates)
	if err != nil {
		return err
	}
	if err := controller.StartInformers(ctx, manager.GetCache()); err != nil {
		return err
	}
	drain := newDrainer(drainPeriod)
	if err := addHandlers(manager, settings, certificates, drain, logger); err != nil {
		return err
	}
	logger.Info("starting", "version", buildVersion(), "proxies", settings.policy.ProxyAddresses)
	running, cancel := drain.delay(ctx)
	defer cancel()
	if err := runUntilDone(running, manager); err != nil {
		return fmt.Errorf("running: %w", err)
	}
	return nil
}

// setUpLogging sends everybody's logs to standard error as JSON: ours,
// controller-runtime's, client-go's, and those of net/http.
func setUpLogging(level slog.Level) *slog.Logger {
	logger := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	slog.SetDefault(logger)
	ctrl.SetLogger(logr.FromSlogHandler(logger.Handler()))
	klog.SetSlogLogger(logger)
	return logger
}

func newManager(options *options, certificates *certwatcher.CertWatcher) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, networkingv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering types: %w", err)
		}
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the API server (run in a pod, or set KUBECONFIG): %w", err)
	}
	config.UserAgent = names.FieldOwner + "/" + buildVersion()
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                  scheme,
		Cache:                   controller.CacheOptions(),
		WebhookServer:           newWebhookServer(options, certificates),
		Metrics:                 metricsserver.Options{BindAddress: options.metricsAddress},
		HealthProbeBindAddress:  options.probeAddress,
		LeaderElection:          options.leaderElect,
		LeaderElectionID:        names.FieldOwner,
		LeaderElectionNamespace: options.leaderElectionNamespace,
		// Safe because the process ends as soon as Start returns: run does
		// nothing after it.
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       new(shutdownTimeout),
	})
	if err != nil {
		return nil, fmt.Errorf("setting up the manager: %w", err)
	}
	return manager, nil
}

func newWebhookServer(options *options, certificates *certwatcher.CertWatcher) webhook.Server {
	return webhook.NewServer(webhook.Options{
		Host: options.webhookAddress,
		Port: options.webhookPort,
		TLSOpts: []func(*tls.Config){func(config *tls.Config) {
			config.GetCertificate = certificates.GetCertificate
			// The API server is the only client, and speaks it.
			config.MinVersion = tls.VersionTLS13
			// The API server speaks HTTP/1.1 to webhooks, whatever they offer,
			// so as to spread requests over the replicas. HTTP/2 would only
			// give other pods more to attack.
			config.NextProtos = []string{"http/1.1"}
		}},
	})
}

// addHandlers gives the manager what it runs: admission and probes on every
// replica, controllers on the leader.
func addHandlers(manager ctrl.Manager, settings *settings, certificates *certwatcher.CertWatcher, drain *drainer, logger *slog.Logger) error {
	policies := controller.NewPolicyApplier(manager.GetClient(), settings.policy)
	pods, err := admission.NewHandler(admission.Options{
		Cluster:       settings.injection,
		PolicyCluster: settings.policy,
		Protected:     settings.protected,
		Cache:         manager.GetClient(),
		Live:          manager.GetAPIReader(),
		Policies:      policies,
		Logger:        logger,
		Metrics:       metrics.Registry,
	})
	if err != nil {
		return fmt.Errorf("setting up the admission handler: %w", err)
	}
	manager.GetWebhookServer().Register(names.PodHandlerPath, drain.handler(pods))

	definition, err := controller.NewCRDApplier(manager.GetClient(), charts.EgressTenantCRD)
	if err != nil {
		return err
	}
	namespaces := &controller.NamespaceReconciler{
		Cache: manager.GetClient(), Live: manager.GetAPIReader(),
		Policies: policies, Protected: settings.protected, Events: manager.GetEventRecorder(names.FieldOwner),
	}
	tenants := &controller.TenantReconciler{
		Client: manager.GetClient(), Policies: policies, Protected: settings.protected,
		ProxyURL: settings.injection.ProxyURL, Egress: settings.egress, Events: manager.GetEventRecorder(names.FieldOwner),
	}
	return errors.Join(
		namespaces.SetupWithManager(manager),
		tenants.SetupWithManager(manager),
		manager.Add(definition),
		manager.Add(certificates),
		manager.AddHealthzCheck("ping", healthz.Ping),
		manager.AddReadyzCheck("caches", controller.CachesSynced(manager.GetCache())),
		manager.AddReadyzCheck("webhook", manager.GetWebhookServer().StartedChecker()),
		manager.AddReadyzCheck("draining", drain.check),
	)
}

// buildVersion is the linker's version, or else what Go recorded of the module.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
