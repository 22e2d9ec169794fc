package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericclioptions"
)

// runCommand runs the program without a terminal and returns its standard output. A nil
// cluster cannot be reached.
func runCommand(t *testing.T, reach *cluster, args ...string) (string, error) {
	t.Helper()
	return runWithInput(t, reach, "", args...)
}

func runWithInput(t *testing.T, reach *cluster, input string, args ...string) (string, error) {
	t.Helper()
	out, notes, err := runForNotes(t, environment{
		args: args, stdin: strings.NewReader(input),
		connect: func(*genericclioptions.ConfigFlags) (*cluster, error) {
			if reach == nil {
				return nil, errors.New("no request to a cluster was expected")
			}
			return reach, nil
		},
	})
	if notes != "" {
		t.Logf("standard error: %s", notes)
	}
	return out, err
}

// runForNotes runs the program, and returns the standard output and the standard error.
func runForNotes(t *testing.T, env environment) (out, notes string, err error) {
	t.Helper()
	t.Setenv("KUBECONFIG", "/dev/null")
	var stdout, stderr bytes.Buffer
	env.stdout, env.stderr = &stdout, &stderr
	env.getenv, env.version = func(string) string { return "" }, webhookVersion
	err = run(t.Context(), env)
	return stdout.String(), stderr.String(), err
}
