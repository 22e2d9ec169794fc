// Command scwfake serves the fake of the Scaleway API.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"egress.scw/bootstrap/scwfake"
)

// The server's timeouts: for slow clients, and for the requests in progress when the
// server stops.
const (
	headerTimeout   = 10 * time.Second
	shutdownTimeout = 5 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "scwfake:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	listen       string
	latencyScale float64
	faults       string
	quiet        bool
}

// run serves until the context ends, and returns nil then.
func run(ctx context.Context, args []string, log io.Writer) error {
	var s settings
	command := &cobra.Command{
		Use:   "scwfake",
		Short: "A fake of the Scaleway API, with an empty project",
		Long: `scwfake serves the part of the Scaleway API that the bootstrap uses, with an
empty project that lives in memory until the program ends. Any UUID is a valid
secret key. Every request is logged by method, path and status.

By default nothing takes time, and resources move on when they are read. With
--latency-scale 1 everything takes as long as Scaleway was recorded to take,
with 0.1 a tenth of it.

--faults names a YAML or JSON file with a list of what is to go wrong:

  - {call: 3, kind: "429"}                       # the third request
  - {method: POST, path: /instance/, kind: reply-lost}
  - {path: /k8s/, kind: "503", count: 2}         # the first two of the kind

"kind" is one of 429, 500, 503, reply-lost (carried out, no answer), timeout
(never answered), reset, quota, out-of-stock and permissions-denied. "call"
counts all requests from 1.`,
		Example: `  scwfake --listen 127.0.0.1:8080 &
  export SCW_API_URL=http://127.0.0.1:8080
  export SCW_ACCESS_KEY=SCW00000000000000000 SCW_SECRET_KEY=11111111-1111-4111-8111-111111111111
  export SCW_DEFAULT_PROJECT_ID=11111111-1111-4111-8111-111111111111
  scw instance server list zone=fr-par-1`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error { //nolint:contextcheck // cobra hands it the context
			return s.serve(command.Context(), log)
		},
	}
	flags := command.Flags()
	flags.StringVar(&s.listen, "listen", "127.0.0.1:8080", "address to listen on; port 0: any free port")
	flags.Float64Var(&s.latencyScale, "latency-scale", 0, "factor of the recorded durations; 0: no waiting")
	flags.StringVar(&s.faults, "faults", "", "file with the faults (YAML or JSON)")
	flags.BoolVar(&s.quiet, "quiet", false, "do not log requests")
	command.SetArgs(args)
	return command.ExecuteContext(ctx)
}

func (s settings) serve(ctx context.Context, log io.Writer) error {
	if s.latencyScale < 0 {
		return errors.New("--latency-scale must not be negative")
	}
	options := scwfake.Options{LatencyScale: s.latencyScale}
	if !s.quiet {
		options.Log = log
	}
	api := scwfake.New(options)
	if s.faults != "" {
		text, err := os.ReadFile(s.faults)
		if err != nil {
			return err
		}
		faults, err := scwfake.ParseFaults(text)
		if err != nil {
			return fmt.Errorf("%s: %w", s.faults, err)
		}
		api.SetFaults(faults)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "listening on http://%s\n", listener.Addr())
	server := &http.Server{Handler: api, ReadHeaderTimeout: headerTimeout}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	api.Close()
	// The context has ended, but requests in progress may still finish.
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(deadline); err != nil {
		return server.Close()
	}
	return nil
}
