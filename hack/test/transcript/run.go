package transcript

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// A Shell runs steps, each in a shell of its own: variables and functions of a step do
// not exist in the next one, but files do.
type Shell struct {
	// Dir is the working folder of all steps. The outputs are kept there too.
	Dir string
	// Env are the environment variables of the steps, in the form of os.Environ.
	Env []string
	// Timeout bounds the duration of each step.
	Timeout time.Duration
}

// Run runs a step until one of its commands fails, and returns the standard output and
// the error output in one, as a terminal shows them. Programs that the step leaves
// running in the background are ended. The error names the line of the page, and contains
// the output.
func (s Shell) Run(ctx context.Context, step Step) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("not ended after %s", s.Timeout))
	defer cancel()
	// A file and no pipe: reading a pipe would not end before the programs in the
	// background.
	file, err := os.Create(filepath.Join(s.Dir, fmt.Sprintf("output-%d", step.Line)))
	if err != nil {
		return "", err
	}
	defer file.Close()
	command := exec.CommandContext(ctx, "sh", "-e", "-c", step.Script)
	command.Dir, command.Env = s.Dir, s.Env
	command.Stdout, command.Stderr = file, file
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	group := func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.Cancel = group
	err = command.Run()
	if command.Process != nil {
		if left := group(); left != nil && !errors.Is(left, syscall.ESRCH) {
			err = errors.Join(err, left)
		}
	}
	output, readErr := os.ReadFile(file.Name())
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err = errors.Join(err, readErr); err != nil {
		err = fmt.Errorf("line %d: %w; its output:\n%s", step.Line, err, output)
	}
	return string(output), err
}
