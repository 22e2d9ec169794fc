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
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// version is set when the binary is linked (-X main.version=…).
var version = "dev"

// shutdownTimeout outlasts the slowest check (checkTimeout), so that stopping
// the server cuts none off, and stays below Kubernetes' default grace period
// of 30 s.
const shutdownTimeout = 20 * time.Second

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run serves the demo until ctx ends or the process receives SIGINT or SIGTERM.
func run(ctx context.Context, args []string) error {
	opts, err := parseOptions(args)
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
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", opts.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	logger.Info("listening", "address", listener.Addr().String(), "version", version)

	handler := newHandler(readEnvironment(os.LookupEnv), newChecker(opts.targets, transport), logger)
	return serve(ctx, listener, handler, logger)
}

// options are the parsed flags.
type options struct {
	listen  string
	targets targets
}

// parseOptions reads the flags. Its errors name the flag at fault.
func parseOptions(args []string) (options, error) {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	listen := flags.String("listen", ":8080", "`address` to listen on")
	ipEcho := flags.String("ip-echo-url", "https://api.ipify.org?format=json",
		"`URL` that answers with the client's address, as {\"ip\": \"…\"}")
	echo := flags.String("echo-url", "https://httpbin.org",
		"base `URL` of an httpbin: /json, /headers, /status/418 and /delay/1 are requested")
	direct := flags.String("direct-url", "",
		"`URL` that the direct attempt requests (default: --ip-echo-url by plain HTTP)")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q: the demo takes flags only", flags.Arg(0))
	}

	opts := options{listen: *listen}
	var err error
	if opts.targets.ipEcho, err = parseTarget("ip-echo-url", *ipEcho); err != nil {
		return options{}, err
	}
	if opts.targets.echo, err = parseTarget("echo-url", *echo); err != nil {
		return options{}, err
	}
	if *direct == "" {
		opts.targets.direct = plainHTTP(opts.targets.ipEcho)
		return opts, nil
	}
	opts.targets.direct, err = parseTarget("direct-url", *direct)
	return opts, err
}

// parseTarget reads the URL in a flag.
func parseTarget(name, value string) (*url.URL, error) {
	u, err := url.Parse(value)
	switch {
	case err != nil:
		return nil, fmt.Errorf("--%s: %w", name, err)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, fmt.Errorf("--%s: %q is not an absolute http or https URL", name, value)
	case u.User != nil:
		// Results show the URL.
		return nil, fmt.Errorf("--%s: must not contain credentials", name)
	}
	return u, nil
}

// plainHTTP is u by plain HTTP on its default port.
func plainHTTP(u *url.URL) *url.URL {
	plain := *u
	plain.Scheme = "http"
	if u.Scheme == "https" {
		plain.Host = strings.TrimSuffix(u.Host, ":"+u.Port())
	}
	return &plain
}

// serve answers on listener until ctx ends, then lets the requests in flight
// finish.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, logger *slog.Logger) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      checkTimeout + 10*time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()

	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	logger.Info("stopping")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return fmt.Errorf("requests were still running %s after the signal to stop: %w", shutdownTimeout, err)
	}
	return nil
}
