// The bootstrap makes come true at Scaleway what an egress.yaml describes:
// network, gateway, proxy and cluster. It writes down what the chart has to
// know of them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"golang.org/x/term"

	"egress.scw/bootstrap/config"
	"egress.scw/bootstrap/scaleway"
	"egress.scw/bootstrap/stack"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the default is back: a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	err := run(ctx, environment{
		args:  os.Args[1:],
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		terminals:  terminals{isTerminal(os.Stdin), isTerminal(os.Stdout), isTerminal(os.Stderr)},
		getenv:     os.Getenv,
		login:      login,
		checkPlace: scaleway.CheckPlace,
	})
	os.Exit(report(os.Stderr, err))
}

// environment is everything outside of the program that it works with.
type environment struct {
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	terminals      terminals
	getenv         func(string) string

	// login finds credentials. It asks nobody whether they are good.
	login func() (*account, error)
	// checkPlace says whether Scaleway has a zone and a region.
	checkPlace func(zone, region string) error
}

// terminals says which of the standard streams a person sits at.
type terminals struct{ stdin, stdout, stderr bool }

// account is what the program knows of the credentials: all but the secrets.
type account struct {
	// project is the one to fall back on. Empty: there is none.
	project string
	connect func(context.Context, stack.Spec) (stack.Cloud, error)
}

func login() (*account, error) {
	credentials, err := scaleway.FindCredentials()
	if err != nil {
		return nil, err
	}
	connect := func(ctx context.Context, spec stack.Spec) (stack.Cloud, error) {
		return scaleway.New(ctx, credentials, spec, scaleway.Options{UserAgent: "egress-bootstrap/" + buildVersion()})
	}
	return &account{credentials.ProjectID, connect}, nil
}

// run is the program. What report makes of the error is its exit code.
func run(ctx context.Context, env environment) error {
	command := newRootCommand(env) //nolint:contextcheck // cobra hands each command the context
	// Of a nil slice, cobra would think that it is to look for itself.
	command.SetArgs(append([]string{}, env.args...))
	return command.ExecuteContext(ctx)
}

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitChanges     = 2   // of the command plan: there is something to do
	exitInterrupted = 130 // as shells have it for Ctrl-C
)

// errChanges is how the command plan says that there is something to do.
var errChanges = errors.New("there is something to do")

// brokenOff is a run that was ended from outside.
type brokenOff struct {
	// overtime tells the end of --timeout from a signal.
	overtime bool
	// failures are what else went wrong; nil: nothing.
	failures error
}

func (b *brokenOff) Error() string {
	what := "interrupted"
	if b.overtime {
		what = "the time is over (--timeout)"
	}
	return what + ": run the same command again, it goes on from here"
}

// report says what went wrong, all of it, and returns the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitDone
	}
	if errors.Is(err, errChanges) {
		return exitChanges
	}
	end, ended := errors.AsType[*brokenOff](err)
	if ended {
		err = end.failures
	}
	for _, problem := range problems(err) {
		fmt.Fprintln(w, "Error:", strings.TrimRight(problem, "\n"))
	}
	switch {
	case !ended:
		return exitFailed
	case end.overtime:
		fmt.Fprintln(w, "Error:", end)
		return exitFailed
	default:
		fmt.Fprintln(w, end)
		return exitInterrupted
	}
}

// problems are the single errors that an error consists of.
func problems(err error) []string {
	var texts []string
	for _, leaf := range leaves(err) {
		if config, ok := errors.AsType[*config.ConfigError](leaf); ok {
			texts = append(texts, strings.Split(config.Error(), "\n")...)
			continue
		}
		texts = append(texts, leaf.Error())
	}
	return texts
}

// leaves takes apart what errors.Join has put together.
func leaves(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, part := range joined.Unwrap() {
		all = append(all, leaves(part)...)
	}
	return all
}

func isTerminal(file *os.File) bool {
	return term.IsTerminal(int(file.Fd()))
}

// buildVersion is the linker's version, or else what Go recorded of the module.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
