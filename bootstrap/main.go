// Command bootstrap provisions the stack that an egress.yaml describes at
// Scaleway: network, gateway, proxy and cluster. It writes the values that the
// chart needs.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/term"
	"k8s.io/client-go/rest"

	"egress.scw/bootstrap/scaleway"
	"egress.scw/bootstrap/stack"
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
		terminals:   terminals{isTerminal(os.Stdin), isTerminal(os.Stdout), isTerminal(os.Stderr)},
		getenv:      os.Getenv,
		login:       func() (*account, error) { return login(os.Stderr) },
		checkPlaces: scaleway.CheckPlaces,
		scaleway:    scalewayOptions(os.Stderr),
		findKey:     scaleway.FindCredentials,
		enterKey:    scaleway.EnterCredentials,
		readSecret:  readSecret(os.Stdin),
		kubernetes:  kubernetesConfig,
	})
	os.Exit(exitCode(os.Stderr, err))
}

// environment is everything outside the program that it uses.
type environment struct {
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	terminals      terminals
	getenv         func(string) string

	// login finds credentials. It does not verify them.
	login func() (*account, error)
	// checkPlaces returns an error for each zone and region that Scaleway does not
	// have, or that lacks a product of the stack.
	checkPlaces func(stack.Spec) error
	// statusPatience replaces the time for which apply waits for the machines'
	// reports. 0: the product's.
	statusPatience time.Duration
	// scaleway are the settings of the connections that init opens.
	scaleway scaleway.Options
	// findKey finds the credentials with which init begins.
	findKey func() (scaleway.Credentials, error)
	// enterKey returns the credentials with keys that init asks for or reads from .env.
	enterKey func(access, secret, project string) (scaleway.Credentials, error)
	// readSecret reads a line from the terminal without echo.
	readSecret func(context.Context) (string, error)
	// kubernetes finds the cluster that watch runs in.
	kubernetes func() (*rest.Config, error)
}

// terminals is which of the standard streams are terminals.
type terminals struct{ stdin, stdout, stderr bool }

// account holds the credentials, without revealing the secrets.
type account struct {
	// project is the project of the credentials. It is empty if they have none.
	project string
	connect func(context.Context, stack.Spec) (stack.Cloud, error)
}

// login finds credentials. Waits for an API that does not answer are written to w.
func login(w io.Writer) (*account, error) {
	credentials, err := scaleway.FindCredentials()
	if err != nil {
		return nil, err
	}
	connect := func(ctx context.Context, spec stack.Spec) (stack.Cloud, error) {
		return scaleway.New(ctx, credentials, spec, scalewayOptions(w))
	}
	return &account{credentials.ProjectID, connect}, nil
}

// scalewayOptions returns the settings of connections. Waits for an API that does not
// answer are written to w.
func scalewayOptions(w io.Writer) scaleway.Options {
	return scaleway.Options{
		UserAgent: "egress-bootstrap/" + buildVersion(),
		Report:    func(text string) { fmt.Fprintln(w, text) },
	}
}

// run runs the program. exitCode turns the error into the exit code.
func run(ctx context.Context, env environment) error {
	command := newRootCommand(env) //nolint:contextcheck // cobra passes the context to each command
	// With nil, cobra would use os.Args.
	command.SetArgs(append([]string{}, env.args...))
	return command.ExecuteContext(ctx)
}

func isTerminal(file *os.File) bool {
	return term.IsTerminal(int(file.Fd()))
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
