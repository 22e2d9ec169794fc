package cluster

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"egress.scw/hack/local/process"
)

// A command that Commands cannot run is run as a process, with its input.
func TestKubectlAsProcess(t *testing.T) {
	program := filepath.Join(t.TempDir(), "kubernetes")
	script := "#!/bin/sh\necho \"$1 $4 [$KUBECONFIG] $NO_PROXY\"\ncat\ntest \"$4\" = get || { echo refused >&2; exit 3; }\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", "other")
	c := Open(Config{Environment: process.Environment(t.TempDir()), Binary: program})
	for name, commands := range map[string]Kubectl{
		"no Commands": nil,
		"unsupported": func(context.Context, io.Reader, ...string) (string, string, error) {
			return "", "", errors.ErrUnsupported
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.Commands = commands
			if out, err := c.Kubectl(t.Context(), strings.NewReader("input"), "get"); out != "kubectl get [] *\ninput" || err != nil {
				t.Errorf("%q, %v", out, err)
			}
			if _, err := c.Kubectl(t.Context(), nil, "diff", "-f", "-"); err == nil || err.Error() != "kubectl diff -f -: exit status 3: refused" {
				t.Errorf("error %v", err)
			}
		})
	}
}

// Commands gets the kubeconfig of the administrator first, so that another one has
// precedence, and its error has the form of that of a process.
func TestKubectlByCommands(t *testing.T) {
	var got []string
	c := Open(Config{Environment: process.Environment(t.TempDir()), Commands: func(_ context.Context, _ io.Reader, args ...string) (string, string, error) {
		got = args
		return "out", " refused\n", errors.New("exit status 3")
	}})
	out, err := c.Kubectl(t.Context(), nil, "get", "pods")
	if out != "out" || err == nil || err.Error() != "kubectl get pods: exit status 3: refused" {
		t.Errorf("%q, %v", out, err)
	}
	if want := "--kubeconfig " + c.Kubeconfig("admin") + " get pods"; strings.Join(got, " ") != want {
		t.Errorf("arguments %q, want %s", got, want)
	}
}
