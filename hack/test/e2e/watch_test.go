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
	"egress.scw/hack/test/stopwatch"
	"egress.scw/webhook/api/names"
)

// watchBound bounds the time until a change of an EgressTenant is served. The product's aim
// is 15 s on an idle machine; the log of the tests has the times.
const watchBound = time.Minute

// TestWatch: a watcher brings an EgressTenant that kubectl writes to the proxy, each change
// of its list, and its end, without bootstrap apply.
func TestWatch(t *testing.T) {
	requireEnvironment(t)
	const name, port = "client-w", "3151"
	stop := startWatch(t)
	t.Cleanup(func() {
		_, _ = kubectl(context.WithoutCancel(t.Context()), "delete", "egresstenant", name, "--ignore-not-found", "--wait=false")
	})
	write := func(domain string) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			manifest := fmt.Sprintf("{apiVersion: egress.scw/v1alpha1, kind: EgressTenant, metadata: {name: %s}, spec: {proxy: {port: %s}, allow: {domains: [%s]}}}", name, port, domain)
			if err := shared.Apply(t.Context(), manifest); err != nil {
				t.Fatal(err)
			}
		}
	}
	client := clientOnNode(t, port, true)
	client.Timeout = 10 * time.Second // a SYN to a closed port has no answer
	fromNode := func() string {
		_, err := ask(t.Context(), client, environment.IPEchoName)
		return outcomeOf(err)
	}
	followed(t, "a new tenant", write(environment.IPEchoName), fromNode, "served")
	followed(t, "another list", write("other.example.com"), fromNode, "refused")
	followed(t, "the first list", write(environment.IPEchoName), fromNode, "served")

	checkPatchedList(t)

	followed(t, "a tenant that is gone", func(t *testing.T) {
		t.Helper()
		if _, err := kubectl(t.Context(), "delete", "egresstenant", name); err != nil {
			t.Fatal(err)
		}
	}, func() string { return fmt.Sprintf("answers: %t", answers(t, port)) }, "answers: false")
	stop()
	checkPlan(t, shared.ConfigFile())
}

// checkPatchedList changes the list of a tenant that egress.yaml has too, and looks at the
// requests of its pod. In the end, the tenant is as in egress.yaml again.
func checkPatchedList(t *testing.T) {
	t.Helper()
	patch := func(ctx context.Context, allow string) error {
		_, err := kubectl(ctx, "patch", "egresstenant", "client-a", "--type=merge", "--patch={\"spec\": {\"allow\": "+allow+"}}")
		return err
	}
	t.Cleanup(func() {
		if err := patch(context.WithoutCancel(t.Context()), "null"); err != nil {
			t.Error(err)
		}
	})
	patched := func(allow string) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			if err := patch(t.Context(), allow); err != nil {
				t.Fatal(err)
			}
		}
	}
	fromPod := func(host string) func() string {
		return func() string {
			_, err := probe(t.Context(), namespaceA, "get", "http://"+host+"/")
			if err != nil && !isProbes(err) {
				t.Fatal(err)
			}
			return outcomeOf(err)
		}
	}
	list := func(host string) string { return `{"domains": ["` + host + `"]}` }
	followed(t, "the list of a pod's tenant, without the host", patched(list("other.example.com")), fromPod(environment.IPEchoName), "refused")
	followed(t, "the list of a pod's tenant, with the host", patched(list(environment.IPEchoName)), fromPod(environment.IPEchoName), "served")
	followed(t, "no list", patched("null"), fromPod(environment.HTTPBinName), "served")
}

// outcomeOf is the answer of the proxy to a request.
func outcomeOf(err error) string {
	switch {
	case err == nil:
		return "served"
	case strings.Contains(err.Error(), "Forbidden"):
		return "refused"
	default:
		return err.Error()
	}
}

// followed makes a change, and waits until requests have an outcome.
func followed(t *testing.T, what string, change func(*testing.T), outcome func() string, want string) {
	t.Helper()
	if got := outcome(); got == want {
		t.Errorf("%s: %s before the change", what, got)
	}
	watch, begin := stopwatch.Start(), time.Now()
	change(t)
	eventually(t, what, func() (bool, string) {
		got := outcome()
		return got == want, got
	})
	took := watch.Elapsed()
	t.Logf("%s: %s after %s, of which other work on this machine took all but %s", what, want, time.Since(begin).Round(100*time.Millisecond), took.Round(100*time.Millisecond))
	if took > watchBound {
		t.Errorf("%s: %s after %s, more than %s", what, want, took, watchBound)
	}
}

// startWatch starts a watcher, and returns a function that ends it. It ends with the test
// too.
func startWatch(t *testing.T, flags ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd, err := shared.BootstrapCommand(ctx, append([]string{"watch", "--config", shared.ConfigFile(), "--listen=", "--listen-health="}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	var output strings.Builder // read when the process has ended
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
		for _, object := range []string{"lease/" + names.WatchLease, "configmap/" + names.ValuesConfigMap} {
			if _, err := kubectl(context.WithoutCancel(ctx), "--namespace=egress-system", "delete", object, "--ignore-not-found"); err != nil {
				t.Error(err)
			}
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
