// Package relay is the HTTP proxy of a pod, on its loopback address. It hands tunnels
// and plain HTTP requests to the proxy machines.
package relay

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/sidecar/machines"
	"egress.scw/webhook/sidecar/metrics"
)

// Bounds of the pod's programs.
const (
	// maxRequestHeader is the size of the largest header of a request. HAProxy's
	// buffers hold 16 KiB.
	maxRequestHeader = 16 << 10
	headerTimeout    = 30 * time.Second
	idleTimeout      = 2 * time.Minute
)

// Pod is the pod that the sidecar reports to the proxy.
type Pod struct{ Namespace, Name string }

// Relay is the proxy. Its methods may be called at the same time.
type Relay struct {
	pod     Pod
	logger  *slog.Logger
	metrics *metrics.Metrics
	server  *http.Server

	plain *httputil.ReverseProxy

	current atomic.Pointer[state]
	capture atomic.Pointer[string] // its state; nil without capture
	// open are the tunnels, and the responses to plain requests.
	open sync.WaitGroup
	// ctx ends when the remaining tunnels are closed.
	ctx   context.Context
	abort context.CancelFunc
}

// state is the machines in use, or the reason for which there are none.
type state struct {
	machines *machines.Set
	// transport is for plain HTTP. Its connections prove the tenant of these machines'
	// files, so that no request of other files may use one.
	transport *http.Transport
	problem   error // of the files; the machines are those of former files
}

// New returns a proxy that has no machines yet.
func New(pod Pod, counters *metrics.Metrics, logger *slog.Logger) *Relay {
	ctx, abort := context.WithCancel(context.Background())
	r := &Relay{pod: pod, logger: logger, metrics: counters, ctx: ctx, abort: abort}
	r.current.Store(&state{problem: errors.New("the files of the Secret " + names.SidecarName + " were not read yet")})
	r.plain = r.newReverseProxy()
	r.server = &http.Server{
		Handler: r, MaxHeaderBytes: maxRequestHeader, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug), // clients that leave
	}
	return r
}

// Use sends further requests to these machines. Tunnels of the former ones stay until
// they end.
func (r *Relay) Use(set *machines.Set) {
	former := r.current.Swap(&state{machines: set, transport: newTransport(set)})
	if former.machines != nil {
		former.transport.CloseIdleConnections()
		former.machines.Drain()
	}
}

// Refuse records that the files cannot be used. Former ones stay in use.
func (r *Relay) Refuse(problem error) {
	former := r.current.Load()
	r.current.Store(&state{machines: former.machines, transport: former.transport, problem: problem})
}

// State returns the machines in use, nil if there are none, and the problem of the
// files.
func (r *Relay) State() ([]machines.State, error) {
	current := r.current.Load()
	if current.machines == nil {
		return nil, current.problem
	}
	return current.machines.States(), current.problem
}

// Serve accepts connections until Shutdown.
func (r *Relay) Serve(listener net.Listener) error {
	if err := r.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ReportCapture puts the state of the capture into the sidecar's own.
func (r *Relay) ReportCapture(state string) { r.capture.Store(&state) }

// Shutdown accepts no further connections, and returns when their tunnels have ended.
// When the context ends, it closes them. Captured connections are served until Close.
func (r *Relay) Shutdown(ctx context.Context) {
	_ = r.server.Shutdown(ctx) // its error is the context's
	ended := make(chan struct{})
	go func() {
		r.open.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	r.abort()
	<-ended
	_ = r.server.Close()
}

// Close ends the connections to the machines as soon as their tunnels have ended. There
// are no further tunnels.
func (r *Relay) Close() {
	if set := r.current.Load().machines; set != nil {
		set.Drain()
	}
}

// ServeHTTP implements http.Handler.
func (r *Relay) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	switch {
	case request.Method == http.MethodConnect:
		r.connect(w, request)
	case request.URL.IsAbs():
		r.forward(w, request)
	case request.Method == http.MethodGet && request.URL.Path == names.RelayStatePath:
		r.writeState(w)
	default:
		r.refuse(w, metrics.HTTP, request.Host, Refusal{
			Status: http.StatusBadRequest, verdict: metrics.Failed,
			Reason: "the request has no URL in full: this is an HTTP proxy",
			Cure:   "set HTTP_PROXY to this address, and request the target itself",
		})
	}
}

// claims are the header fields of each request to a machine.
func (r *Relay) claims(header http.Header) {
	header.Set(names.HeaderNamespace, r.pod.Namespace)
	header.Set(names.HeaderPod, r.pod.Name)
}
