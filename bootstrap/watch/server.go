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
	// maxConnections bounds the clients at a time: a Prometheus and the kubelet.
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

// Serve serves /metrics and /healthz on an address until the context ends. It returns
// the error of listening at once.
func Serve(ctx context.Context, address string, metrics prometheus.Gatherer, health *Health) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	routes := http.NewServeMux()
	routes.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := health.check(time.Now()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	server := &http.Server{
		Handler: routes, MaxHeaderBytes: 16 << 10,
		ReadTimeout: clientTimeout, WriteTimeout: clientTimeout, IdleTimeout: clientTimeout,
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	// Without the server, the probe of the kubelet fails, and the pod starts again.
	go func() { _ = server.Serve(netutil.LimitListener(listener, maxConnections)) }()
	return nil
}
