// Command demo is an ordinary web application that shows the egress path of its
// pod. Neither its code nor its manifests configure a proxy: like most programs
// it follows HTTP_PROXY, HTTPS_PROXY and NO_PROXY if its environment has them.
// Its page shows these variables and their effect, and tries to bypass the
// proxy.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
)

// version is set when the binary is linked (-X main.version=…).
var version = "dev"

func main() {
	if err := run(context.Background(), os.Args[1:], os.LookupEnv); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run serves the demo until ctx ends or the process receives SIGINT or SIGTERM.
func run(ctx context.Context, args []string, env lookup) error {
	s, err := parseSettings(args, env)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}

	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()

	transport, err := defaultTransport()
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	m := newMetrics()
	h := newHub(m)
	checks := newRunner(newChecker(s.targets, s.path, transport), s.checksPerMinute, h, logger)
	handler := newHandler(readEnvironment(s.path, env), checks, s.account)

	page, err := listen(ctx, "--listen", s.listen)
	if err != nil {
		return err
	}
	logger.Info("listening", "address", page.Addr().String(), "version", version, "authentication", s.account.required)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return serve(ctx, page, handler, func() { logger.Info("stopping"); h.stop() }, logger)
	})
	if s.metricsListen != "" {
		listener, err := listen(ctx, "--metrics-listen", s.metricsListen)
		if err != nil {
			stop()
			return errors.Join(err, group.Wait())
		}
		logger.Info("serving metrics", "address", listener.Addr().String())
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
		group.Go(func() error { return serve(ctx, listener, mux, func() {}, logger) })
	}
	return group.Wait()
}
