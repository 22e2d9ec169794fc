package main

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"egress.scw/webhook/endpoint"
	"egress.scw/webhook/settings"
)

const (
	// webhookConnections bounds the connections to the webhook. API servers open
	// one for each pod that is created at the same time: 200 by default
	// (--max-mutating-requests-inflight), over all replicas. A connection takes some
	// 50 KiB, and a usual request 64 KiB at most.
	webhookConnections = 512

	// otherConnections bounds the connections to the servers of metrics and of
	// probes, each of which has one or two clients.
	otherConnections = 32

	// scrapesInFlight bounds the scrapes of metrics that are being answered.
	scrapesInFlight = 2

	// notServed is the address of a server of controller-runtime that does not run.
	notServed = "0"
)

func newWebhookServer(bind settings.BindAddress, certificates *certwatcher.CertWatcher, logger *slog.Logger) *endpoint.Server {
	return endpoint.New(endpoint.Options{
		Address:     bind.String(),
		Connections: webhookConnections,
		Logger:      logger,
		TLS: &tls.Config{
			GetCertificate: certificates.GetCertificate,
			// The API server is the only client, and supports TLS 1.3.
			MinVersion: tls.VersionTLS13,
			// The API server uses HTTP/1.1 for webhooks, whatever they offer,
			// so that it can spread requests over the replicas. HTTP/2 would
			// only add attack surface towards other pods.
			NextProtos: []string{"http/1.1"},
		},
	})
}

// addServers adds the servers of metrics and of probes, unless the settings have
// no address for them.
func addServers(manager ctrl.Manager, s *settings.Settings, logger *slog.Logger, ready map[string]healthz.Checker) error {
	var errs []error
	if s.Metrics != nil {
		server := endpoint.New(endpoint.Options{Address: s.Metrics.String(), Connections: otherConnections, Logger: logger})
		server.Register("/metrics", promhttp.HandlerFor(metrics.Registry, promhttp.HandlerOpts{MaxRequestsInFlight: scrapesInFlight}))
		errs = append(errs, manager.Add(server))
	}
	if s.Probes != nil {
		server := endpoint.New(endpoint.Options{Address: s.Probes.String(), Connections: otherConnections, Logger: logger})
		registerProbe(server, "/healthz", map[string]healthz.Checker{"ping": healthz.Ping})
		registerProbe(server, "/readyz", ready)
		errs = append(errs, manager.Add(server))
	}
	return errors.Join(errs...)
}

// registerProbe serves all checks together at the path, and each below it.
func registerProbe(server *endpoint.Server, path string, checks map[string]healthz.Checker) {
	handler := http.StripPrefix(path, &healthz.Handler{Checks: checks})
	server.Register(path, handler)
	server.Register(path+"/", handler)
}

// limitMemory makes the garbage collector work harder when the memory comes near
// the limit, in bytes, of which 0 is none. The rest is for what the collector does
// not count. GOMEMLIMIT in the environment takes precedence.
func limitMemory(limit int64) {
	const percent = 85
	if limit > 0 && debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(limit / 100 * percent)
	}
}
