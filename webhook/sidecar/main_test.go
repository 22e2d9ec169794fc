package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/sidecar/internal/machinetest"
)

// TestCheckWithoutSidecar: check fails while no sidecar listens.
func TestCheckWithoutSidecar(t *testing.T) {
	t.Parallel()
	if err := command(t.Context(), []string{"check", "--listen", machinetest.FreeAddress(t)}, io.Discard); err == nil || !strings.Contains(err.Error(), "the sidecar does not listen") {
		t.Errorf("%v", err)
	}
}

// awaitState returns when check succeeds and prints a text.
func awaitState(t *testing.T, address, want string) {
	t.Helper()
	var output bytes.Buffer
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		output.Reset()
		if err := command(t.Context(), []string{"check", "--listen", address}, &output); err == nil && strings.Contains(output.String(), want) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("the state is %s, want %s", output.String(), want)
}

// TestArguments: wrong ones are errors with the cure.
func TestArguments(t *testing.T) {
	t.Setenv(names.EnvPodNamespace, "")
	t.Setenv(names.EnvPodName, "")
	t.Setenv(names.EnvPodIP, "")
	for _, c := range []struct{ args, want string }{
		{"", `a command is missing: see "sidecar help"`},
		{"serve", `there is no command "serve": see "sidecar help"`},
		{"run --conf x", `run: flag provided but not defined: -conf: see "sidecar help"`},
		{"check now", `check: unexpected argument "now": see "sidecar help"`},
		{"run", "the environment variable POD_NAMESPACE is missing: set it by the downward API\n" +
			"the environment variable POD_NAME is missing: set it by the downward API\n" +
			"the environment variable POD_IP is missing: set it by the downward API"},
	} {
		if err := command(t.Context(), strings.Fields(c.args), io.Discard); err == nil || err.Error() != c.want {
			t.Errorf("%q: %v, want %s", c.args, err, c.want)
		}
	}
	t.Setenv(names.EnvPodNamespace, "shop")
	t.Setenv(names.EnvPodName, "web-1")
	t.Setenv(names.EnvPodIP, "10.0.0.1")
	t.Setenv(names.EnvPodPorts, "80, 443")
	err := command(t.Context(), []string{"run", "--listen", "0.0.0.0:3128", "--dns", "10.0.0.1:53"}, io.Discard)
	const want = `the environment variable POD_PORTS: " 443" is not a port; ports are separated by commas, without spaces
--listen 0.0.0.0:3128 must be a loopback address with a port: every client of the address acts for the tenant
--dns 10.0.0.1:53 must be a loopback address with a port: its answers are addresses of this pod`
	if err == nil || err.Error() != want {
		t.Errorf("an open proxy: %v", err)
	}
	var output bytes.Buffer
	if err := command(t.Context(), []string{"help"}, &output); err != nil || strings.Contains(output.String(), "%!") {
		t.Errorf("%v, %s", err, output.String())
	}
}

// TestDependencies compares the packages of the program, the standard library aside,
// with the list deps.txt. The sidecar is in every pod of its tenants: a new dependency
// is a decision, which the list shows to the reviewer.
func TestDependencies(t *testing.T) {
	t.Parallel()
	const format = "{{if not .Standard}}{{.ImportPath}}{{end}}"
	command := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", format, ".")
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(string(output))
	slices.Sort(got)
	for _, path := range got {
		if strings.Contains(path, "k8s.io/") || strings.Contains(path, "prometheus") {
			t.Errorf("the sidecar must not depend on %s", path)
		}
	}
	text, err := os.ReadFile("deps.txt")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Fields(string(text)); !slices.Equal(got, want) {
		t.Errorf("deps.txt is out of date; in webhook/sidecar run\n\tgo list -deps -f '%s' . | LC_ALL=C sort > deps.txt\ngot: %q\nwant: %q", format, got, want)
	}
}
