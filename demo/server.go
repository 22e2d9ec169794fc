package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

const (
	// maxConnections bounds the open connections of a port, whoever opens them.
	maxConnections = 256

	// maxHeader bounds the headers of a request, in bytes.
	maxHeader = 16 << 10

	// shutdownTimeout outlasts the slowest check (checkTimeout), so that stopping
	// the server cuts none off, and stays below Kubernetes' default grace period
	// of 30 s.
	shutdownTimeout = 20 * time.Second
)

// listen opens the address of the setting with that name.
func listen(ctx context.Context, setting, address string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	return netutil.LimitListener(listener, maxConnections), nil
}

// serve answers on listener until ctx ends. Then it calls stopping, which ends the
// answers that have no end, and lets the requests in flight finish.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, stopping func(), logger *slog.Logger) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      checkTimeout + 10*time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()

	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	stopping()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return fmt.Errorf("requests were still running %s after the signal to stop: %w", shutdownTimeout, err)
	}
	return nil
}
