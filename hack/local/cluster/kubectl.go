package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Kubectl is a way to run kubectl. It returns errors.ErrUnsupported, and has not read
// stdin, if it cannot run the command. The arguments name the kubeconfig.
type Kubectl func(ctx context.Context, stdin io.Reader, args ...string) (stdout, stderr string, err error)

// Kubectl runs kubectl as the administrator and returns its output. The error
// contains kubectl's error output.
func (c *Cluster) Kubectl(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	run := c.runKubectl
	if c.Commands != nil {
		run = c.Commands
	}
	argv := append([]string{"--kubeconfig", c.Kubeconfig("admin")}, args...)
	stdout, stderr, err := run(ctx, stdin, argv...)
	if errors.Is(err, errors.ErrUnsupported) {
		stdout, stderr, err = c.runKubectl(ctx, stdin, argv...)
	}
	if err != nil {
		return stdout, fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr))
	}
	return stdout, nil
}

// runKubectl runs kubectl as a process.
func (c *Cluster) runKubectl(ctx context.Context, stdin io.Reader, args ...string) (string, string, error) {
	cmd := exec.CommandContext(ctx, c.Binary, append([]string{"kubectl"}, args...)...)
	cmd.Stdin = stdin
	cmd.Env = append(os.Environ(), "KUBECONFIG=", "NO_PROXY=*", "no_proxy=*")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return stdout.String(), stderr.String(), err
}

// Apply applies manifests server-side.
func (c *Cluster) Apply(ctx context.Context, manifests string) error {
	_, err := c.Kubectl(ctx, strings.NewReader(manifests), "apply", "--server-side", "--force-conflicts", "-f", "-")
	return err
}
