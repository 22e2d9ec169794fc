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
	t.Setenv("KUBECONFIG", "/dev/null")
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), environment{
		args: args, stdin: strings.NewReader(input), stdout: &stdout, stderr: &stderr,
		getenv: func(string) string { return "" }, version: webhookVersion,
		connect: func(*genericclioptions.ConfigFlags) (*cluster, error) {
			if reach == nil {
				return nil, errors.New("no request to a cluster was expected")
			}
			return reach, nil
		},
	})
	if stderr.Len() > 0 {
		t.Logf("standard error: %s", stderr.String())
	}
	return stdout.String(), err
}
