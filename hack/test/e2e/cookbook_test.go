package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"egress.scw/hack/local/programs"
)

// The tenant and the namespace of docs/cookbook.md.
const (
	cookbookTenant    = "shop"
	cookbookNamespace = "orders"
	// cookbookEgress is the page's part of egress.yaml.
	cookbookEgress = "    - name: " + cookbookTenant + "\n      proxy: {port: 3140}\n      allow: {domains: [api.ipify.org]}\n"
)

// Each block of commands in the cookbook works, in the order of the page, and prints the
// lines that the page shows behind it.
func TestCookbook(t *testing.T) {
	requireEnvironment(t)
	const page = "cookbook.md"
	steps := stepsOf(t, page, readPage(t, page))
	// The page changes the namespace of the context.
	kubeconfig, err := os.ReadFile(shared.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig.yaml")
	if err := os.WriteFile(file, kubeconfig, 0o600); err != nil {
		t.Fatal(err)
	}
	// The base name of the multi-call binary selects the program.
	links := map[string]string{"kubectl": shared.Cluster.Binary, "kubectl-egress": buildProgram(t, programs.KubectlEgress())}
	shell := pageShell(t, links, "KUBECONFIG="+file)
	t.Cleanup(func() { apply(t, shared.ConfigFile()) })
	apply(t, withTenant(t, cookbookEgress))
	t.Cleanup(func() { removeObjects(t, "namespace/"+cookbookNamespace, "egresstenant/"+cookbookTenant) })
	runSteps(t, page, shell, steps)
}

// removeObjects removes the objects of a page, of which there are some if a block failed.
func removeObjects(t *testing.T, objects ...string) {
	t.Helper()
	for _, object := range objects {
		// Cleanups run after the test's context has ended.
		if _, err := kubectl(context.WithoutCancel(t.Context()), "delete", object, "--ignore-not-found", "--timeout=300s"); err != nil {
			t.Error(fmt.Errorf("removing %s: %w", object, err))
		}
	}
}
