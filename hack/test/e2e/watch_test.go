package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"egress.scw/hack/local/environment"
)

// TestWatch: a watcher brings an EgressTenant that kubectl writes to the proxy, and each
// change of its list, without bootstrap apply. The log has the times; the product's aim
// is 15 s on an idle machine.
func TestWatch(t *testing.T) {
	requireEnvironment(t)
	const name, port, bound = "client-w", "3151", 30 * time.Second
	stop := startWatch(t)
	write := func(domain string) time.Time {
		t.Helper()
		manifest := fmt.Sprintf("{apiVersion: egress.scw/v1alpha1, kind: EgressTenant, metadata: {name: %s}, spec: {proxy: {port: %s}, allow: {domains: [%s]}}}", name, port, domain)
		begin := time.Now()
		if err := shared.Apply(t.Context(), manifest); err != nil {
			t.Fatal(err)
		}
		return begin
	}
	served := func() bool {
		_, err := ask(t.Context(), clientOnNode(t, port, true), environment.IPEchoName)
		return err == nil
	}
	t.Cleanup(func() {
		_, _ = kubectl(context.WithoutCancel(t.Context()), "delete", "egresstenant", name, "--ignore-not-found", "--wait=false")
	})
	measure := func(what string, begin time.Time, want bool) {
		t.Helper()
		eventually(t, what, func() (bool, string) { return served() == want, "not yet" })
		took := time.Since(begin)
		t.Logf("%s: served after %s", what, took.Round(100*time.Millisecond))
		if took > bound {
			t.Errorf("%s: served after %s, more than %s", what, took, bound)
		}
	}
	measure("a new tenant", write(environment.IPEchoName), true)
	measure("another list", write("other.example.com"), false)
	measure("the first list", write(environment.IPEchoName), true)

	begin := time.Now()
	if _, err := kubectl(t.Context(), "delete", "egresstenant", name); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the port to be closed", func() (bool, string) { return !answers(t, port), "it answers" })
	t.Logf("a tenant that is gone: closed after %s", time.Since(begin).Round(100*time.Millisecond))
	stop()
	checkPlan(t, shared.ConfigFile())
}

// startWatch starts a watcher, and returns a function that ends it. It ends with the test
// too.
func startWatch(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd, err := shared.BootstrapCommand(ctx, "watch", "--config", shared.ConfigFile(), "--listen=")
	if err != nil {
		t.Fatal(err)
	}
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once bool
	stop = func() {
		if once {
			return
		}
		once = true
		cancel()
		if err := cmd.Wait(); err != nil && !isCancelled(ctx, err) {
			t.Errorf("bootstrap watch: %v\n%s", err, output.String())
		}
		if t.Failed() {
			t.Log(output.String())
		}
	}
	t.Cleanup(stop)
	return stop
}

// isCancelled reports whether an error of Wait is the end of its context alone.
func isCancelled(ctx context.Context, err error) bool {
	_, exited := err.(*exec.ExitError) //nolint:errorlint // Wait does not wrap it
	return !exited && ctx.Err() != nil && !os.IsNotExist(err)
}
