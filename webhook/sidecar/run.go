package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/sidecar/bounded"
	"egress.scw/webhook/sidecar/machines"
	"egress.scw/webhook/sidecar/metrics"
	"egress.scw/webhook/sidecar/relay"
	"egress.scw/webhook/sidecar/secret"
)

// drainBound is the time for which tunnels may go on behind SIGTERM. Kubernetes stops
// sidecars when the pod's programs have ended; their grace period is 30 s by default.
const drainBound = 30 * time.Second

// mostMetricsClients is the number of connections of the metrics server. Pods of other
// tenants can reach it, unless the tenant's ingress is closed, and the memory is that of
// the pod's tunnels.
const mostMetricsClients = 16

// options are the flags of run.
type options struct {
	folder, listen, dns string
	metrics             string // empty: on the address of the pod
}

// run serves the pod until the context ends, and then until its tunnels have ended.
func run(ctx context.Context, o options, logs io.Writer) error {
	settings, err := newSettings(o)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewJSONHandler(logs, nil))
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listening for the pod's programs (another program of the pod must not use the port): %w", err)
	}
	counters := new(metrics.Metrics)
	r := relay.New(settings.pod, counters, logger)
	p := &program{logger: logger, relay: r, capturing: &capturing{dns: settings.dns, ownPorts: settings.ownPorts, relay: r, logger: logger}}
	go p.serveMetrics(ctx, settings.metrics, counters)
	logger.Info("starting", "version", buildVersion(), "listen", o.listen, "config", o.folder, "metrics", settings.metrics)
	unwatched := p.watch(ctx, o.folder)

	served := make(chan error, 1)
	go func() { served <- r.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving the pod's programs: %w", err)
	case <-ctx.Done():
	}
	logger.Info("stopping: open tunnels may end", "bound", drainBound.String())
	<-unwatched
	p.shutdown(context.WithoutCancel(ctx))
	return nil
}

// shutdown returns when all tunnels have ended, at the latest after drainBound.
func (p *program) shutdown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainBound)
	defer cancel()
	var both sync.WaitGroup
	both.Go(func() { p.relay.Shutdown(ctx) })
	both.Go(func() { p.capturing.shutdown(ctx) })
	both.Wait()
	p.relay.Close()
}

// program connects the files with the relay.
type program struct {
	logger    *slog.Logger
	relay     *relay.Relay
	capturing *capturing
	expiry    atomic.Pointer[time.Time] // of the certificate in use
}

// watch takes the files, and follows them until the context ends, when it closes the
// channel. It returns when they were read once, so that the pod's programs, which start
// when the sidecar listens, do not come first.
func (p *program) watch(ctx context.Context, folder string) (ended <-chan struct{}) {
	read, over := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(read) })
	go func() {
		defer close(over)
		secret.Watch(ctx, folder, func(content *secret.Content, err error) {
			p.changed(ctx, content, err)
			once()
		})
	}()
	<-read
	return over
}

// changed takes new files.
func (p *program) changed(ctx context.Context, content *secret.Content, err error) {
	var set *machines.Set
	if err == nil {
		set, err = machines.New(content.Config, content.Certificate, p.logger)
	}
	if err != nil {
		p.logger.Warn("the files of the Secret cannot be used", "secret", names.SidecarName, "error", err,
			"cure", "see the EgressTenant's condition Ready and its Certificate; former files stay in use")
		p.relay.Refuse(err)
		return
	}
	expiry := content.Certificate.Leaf.NotAfter
	p.expiry.Store(&expiry)
	p.relay.Use(set)
	go set.Connect()
	p.logger.Info("the files of the Secret are in use", "tenant", content.Config.Tenant, "machines", len(content.Config.Machines), "certificateExpiry", expiry)
	p.capturing.use(ctx, content.Config.Capture)
}

// serveMetrics serves metrics until the context ends. Without them, the sidecar does
// its work.
func (p *program) serveMetrics(ctx context.Context, address string, counters *metrics.Metrics) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", counters.Handler(p.state))
	server := &http.Server{
		Handler: mux, MaxHeaderBytes: 4 << 10, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(p.logger.Handler(), slog.LevelDebug),
	}
	server.SetKeepAlivesEnabled(false) // idle clients would keep the few places
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err == nil {
		err = server.Serve(bounded.New(listener, mostMetricsClients))
	}
	if !errors.Is(err, http.ErrServerClosed) && ctx.Err() == nil {
		p.logger.Warn("no metrics: another program of the pod may use the port", "error", err)
	}
}

func (p *program) state() metrics.State {
	states, problem := p.relay.State()
	state := metrics.State{Version: buildVersion(), ConfigUsable: problem == nil, Capture: p.capturing.state()}
	if expiry := p.expiry.Load(); expiry != nil {
		state.CertificateExpiry = *expiry
	}
	for _, m := range states {
		state.Machines = append(state.Machines, metrics.Machine{Address: m.Address, Usable: m.Problem == ""})
	}
	return state
}
