package watch

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

const (
	// maxConnections bounds the clients of each address at a time: a Prometheus, or the
	// kubelet.
	maxConnections = 16
	clientTimeout  = 10 * time.Second
)

// Health is whether passes go on.
type Health struct {
	// Patience is the longest time between two signs of life: that of a pass and the
	// pause after it.
	Patience time.Duration
	last     atomic.Int64 // unix nanoseconds; 0 while this process does not lead
}

// Alive is a sign of life.
func (h *Health) Alive() { h.last.Store(time.Now().UnixNano()) }

func (h *Health) check(now time.Time) error {
	last := h.last.Load()
	if silent := now.Sub(time.Unix(0, last)); last != 0 && silent > h.Patience {
		return fmt.Errorf("no pass has begun or ended for %s", silent.Round(time.Second))
	}
	return nil
}

// ServeMetrics serves /metrics on an address until the context ends. It returns the error
// of listening at once.
func ServeMetrics(ctx context.Context, address string, metrics prometheus.Gatherer) error {
	routes := http.NewServeMux()
	routes.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	if err := serve(ctx, address, routes); err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	return nil
}

// Serve serves /healthz like ServeMetrics. It has an address of its own, so that clients of
// the metrics do not take the connections of the kubelet, which would end the process.
func (h *Health) Serve(ctx context.Context, address string) error {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := h.check(time.Now()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	if err := serve(ctx, address, routes); err != nil {
		return fmt.Errorf("--listen-health: %w", err)
	}
	return nil
}

func serve(ctx context.Context, address string, handler http.Handler) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err //nolint:wrapcheck // the callers name their flags
	}
	server := &http.Server{
		Handler: handler, MaxHeaderBytes: 16 << 10,
		ReadTimeout: clientTimeout, WriteTimeout: clientTimeout, IdleTimeout: clientTimeout,
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	// Without the server, the probe of the kubelet fails, and the pod starts again.
	go func() { _ = server.Serve(netutil.LimitListener(listener, maxConnections)) }()
	return nil
}
