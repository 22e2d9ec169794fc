// Package kubectl runs kubectl in the process of a test: the library's commands, without
// the start of a program of 160 MB, a new TLS connection and new caches for each call. A
// test that polls makes hundreds of calls.
//
// The programs of hack/local run kubectl as a process instead. A few of kubectl's commands
// end the process that they run in when a signal arrives, before the program has cleaned
// up, and their code would make the program larger.
package kubectl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/kubectl/pkg/cmd"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
)

// runsHere reports whether a command of kubectl can run in the process of a test: it
// neither ends the process (auth can-i), nor uses the process's standard input and output
// (edit), nor starts a program (diff).
func runsHere(command *cobra.Command) bool {
	for command.HasParent() && command.Parent().HasParent() {
		command = command.Parent()
	}
	return slices.Contains([]string{
		"annotate", "apply", "create", "delete", "exec", "expose", "get", "label", "logs", "patch", "replace", "rollout", "scale", "set", "taint", "wait",
	}, command.Name())
}

// Kubectl runs kubectl.
type Kubectl struct {
	connections connections
	// building is held while a command is built, and while it reads its settings: its
	// flags for profiling are global variables of the library.
	building sync.Mutex
}

// New returns a Kubectl whose calls share their connections.
func New() *Kubectl {
	setBehavior()
	return &Kubectl{}
}

// setBehavior makes an error of kubectl end the command, and not the process. The library
// has one behaviour for all commands, which may not be set while one runs. It is called
// in the goroutine of the command alone: the goroutines that kubectl starts pass their
// errors on.
var setBehavior = sync.OnceFunc(func() {
	cmdutil.BehaviorOnFatal(func(message string, status int) { panic(fatal{message, status}) })
})

// fatal is the panic by which kubectl ends a command.
type fatal struct {
	message string
	status  int
}

// ExitError is the error of a command that failed. For "exec" it is that of the program
// in the container.
type ExitError struct{ Status int }

func (e ExitError) Error() string { return fmt.Sprintf("exit status %d", e.Status) }

// Run runs kubectl with arguments. If they are those of a command that needs a process of
// its own, it returns errors.ErrUnsupported, and has not read stdin. If kubectl fails,
// the error is an ExitError. The arguments name the kubeconfig.
//
// Run returns when the context ends. Not all of kubectl's commands follow the context:
// they continue to run for a while then, but their requests end.
func (k *Kubectl) Run(ctx context.Context, stdin io.Reader, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if stdin == nil {
		stdin = strings.NewReader("")
	}
	var out, errOut buffer
	root := k.newCommand(ctx, genericiooptions.IOStreams{In: stdin, Out: &out, ErrOut: &errOut}, args)
	if command, _, err := root.Find(args); err != nil || !runsHere(command) {
		return "", "", errors.ErrUnsupported
	}
	in := &input{stdin: stdin}
	k.prepare(root, in)
	done := make(chan error, 1)
	go func() {
		defer in.remove()
		done <- execute(ctx, root, &errOut)
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return out.String(), in.named(errOut.String()), err
}

// newCommand returns kubectl's command. Preferences of this machine's user do not apply:
// kubectl reads them if it gets the arguments here.
func (k *Kubectl) newCommand(ctx context.Context, streams genericiooptions.IOStreams, args []string) *cobra.Command {
	k.building.Lock()
	defer k.building.Unlock()
	flags := genericclioptions.NewConfigFlags(true).WithDiscoveryBurst(300).WithDiscoveryQPS(50).WithWarningPrinter(streams)
	flags.WithWrapConfigFn(k.connections.use(ctx, streams.ErrOut))
	root := cmd.NewKubectlCommand(cmd.KubectlOptions{IOStreams: streams, ConfigFlags: flags})
	root.SetArgs(args)
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.SilenceUsage, root.SilenceErrors = true, true // as kubectl's own main function has it
	return root
}

// prepare makes the command read its input from a file, and its settings alone.
func (k *Kubectl) prepare(root *cobra.Command, in *input) {
	before, after := root.PersistentPreRunE, root.PersistentPostRunE
	root.PersistentPreRunE = func(command *cobra.Command, args []string) error {
		k.building.Lock()
		defer k.building.Unlock()
		return errors.Join(in.use(command), before(command, args))
	}
	root.PersistentPostRunE = func(command *cobra.Command, args []string) error {
		k.building.Lock()
		defer k.building.Unlock()
		return after(command, args)
	}
}

// execute runs a command until it ends or fails. Other panics than that of kubectl's
// errors are not recovered.
func execute(ctx context.Context, root *cobra.Command, stderr io.Writer) (err error) {
	defer func() {
		switch ended := recover().(type) {
		case nil:
		case fatal:
			fmt.Fprintln(stderr, strings.TrimSpace(ended.message))
			err = ExitError{ended.status}
		default:
			panic(ended)
		}
	}()
	cmdutil.CheckErr(root.ExecuteContext(ctx))
	return nil
}

// buffer is a buffer to which a command may write that continues to run.
type buffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
