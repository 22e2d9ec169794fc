// Command kubectl-egress is a plugin of kubectl for the people who run egress.scw: it
// explains decisions of the webhook and of the proxy, proves guarantees, and proposes
// allow lists.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"golang.org/x/term"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal restores the default action: a second one ends the process
	// immediately.
	context.AfterFunc(ctx, stop)
	err := run(ctx, environment{
		args:  os.Args[1:],
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		terminal:      term.IsTerminal(int(os.Stdout.Fd())),
		inputTerminal: term.IsTerminal(int(os.Stdin.Fd())),
		getenv:        os.Getenv,
		version:       buildVersion(),
		connect:       connect,
	})
	code := exitCode(ctx, os.Stderr, err)
	stop()
	os.Exit(code)
}

// environment is everything outside of the program that it uses.
type environment struct {
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	terminal       bool // of stdout
	inputTerminal  bool // of stdin
	getenv         func(string) string
	version        string
	// connect returns the cluster that the flags select.
	connect func(*genericclioptions.ConfigFlags) (*cluster, error)
}

// cluster is the access to a cluster.
type cluster struct {
	client client.Client
	// logs returns the log of a pod's only container.
	logs func(ctx context.Context, namespace, pod string) ([]byte, error)
}

// run runs the program. exitCode turns the error into the exit code.
func run(ctx context.Context, env environment) error {
	command := newRootCommand(env) //nolint:contextcheck // cobra passes the context to each command
	// With nil, cobra would use os.Args.
	command.SetArgs(append([]string{}, env.args...))
	return command.ExecuteContext(ctx)
}

// buildVersion returns the version that the linker has set or, failing that, the
// version of the module.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
