package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/healthz"
)

const (
	// headerTimeout bounds the TLS handshake and the header of a request. API
	// servers wait for 5 s for an answer in total.
	headerTimeout = 10 * time.Second

	// answerTimeout bounds the time from the header of a request to the last byte
	// of its answer.
	answerTimeout = 15 * time.Second

	// idleTimeout bounds the time between the requests of a connection. API servers
	// close idle connections after 90 s (client-go). The server waits longer, so
	// that it does not close a connection on which a request is on its way.
	idleTimeout = 100 * time.Second

	// maxHeaderBytes bounds the header of a request. That of an API server has some
	// 200 bytes.
	maxHeaderBytes = 16 << 10

	// shutdownTimeout bounds the wait for the answers of accepted requests.
	shutdownTimeout = 10 * time.Second
)

// Options configure a Server.
type Options struct {
	// Address is the address to listen on, HOST:PORT. An empty host means all
	// addresses.
	Address string
	// TLS is nil for a server without TLS.
	TLS *tls.Config
	// Connections bounds the number of connections.
	Connections int
	// Logger receives errors of connections, at the debug level: every client can
	// cause them.
	Logger *slog.Logger
}

// Server serves HTTP. It has the methods of a webhook.Server of
// controller-runtime, whose own server has no bound on connections, and timeouts
// that cannot be set.
type Server struct {
	options   Options
	mux       *http.ServeMux
	listening atomic.Bool
}

// New returns a server without handlers.
func New(options Options) *Server {
	return &Server{options: options, mux: http.NewServeMux()}
}

// Register adds a handler for a path, before the server is started.
func (s *Server) Register(path string, handler http.Handler) { s.mux.Handle(path, handler) }

// WebhookMux returns the handlers.
func (s *Server) WebhookMux() *http.ServeMux { return s.mux }

// NeedLeaderElection reports that every replica serves.
func (*Server) NeedLeaderElection() bool { return false }

// Start serves until the context ends, and then until the accepted requests are
// answered.
func (s *Server) Start(ctx context.Context) error {
	tcp, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.options.Address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	bounded := newListener(tcp, s.options.Connections)
	var listener net.Listener = bounded
	if s.options.TLS != nil {
		listener = tls.NewListener(bounded, s.options.TLS)
	}
	server := &http.Server{
		Handler:           noteArrival(s.mux),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       withConnection,
		ConnState:         noteState,
		ReadHeaderTimeout: headerTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { //nolint:contextcheck // the requests end after the context
		ending, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		stopped <- server.Shutdown(ending)
	})
	s.listening.Store(true)
	err = server.Serve(listener)
	s.listening.Store(false)
	if stop() { // the context has not ended
		return fmt.Errorf("serving on %s: %w", s.options.Address, err)
	}
	if err := <-stopped; err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("finishing the requests on %s: %w", s.options.Address, err)
	}
	return nil
}

// StartedChecker returns a check that succeeds while the server accepts
// connections.
func (s *Server) StartedChecker() healthz.Checker {
	return func(r *http.Request) error {
		if !s.listening.Load() {
			return errors.New("the server is not listening")
		}
		ctx := context.Background() //nolint:contextcheck // replaced by the request's, if there is one
		if r != nil {
			ctx = r.Context()
		}
		return s.connect(ctx)
	}
}

// connect opens a connection, and completes the handshake with TLS.
func (s *Server) connect(ctx context.Context) error {
	const patience = 2 * time.Second // the probe has 3
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var dial func(ctx context.Context, network, address string) (net.Conn, error)
	if s.options.TLS != nil {
		//nolint:gosec // the connection to the process itself only shows that it answers
		dial = (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}}).DialContext
	} else {
		dial = (&net.Dialer{}).DialContext
	}
	connection, err := dial(ctx, "tcp", s.options.Address)
	if err != nil {
		return fmt.Errorf("connecting to the server: %w", err)
	}
	return connection.Close() //nolint:wrapcheck // it has no cause to fail
}
