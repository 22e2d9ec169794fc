package e2e

import "testing"

// A connection that is open when a namespace gets its tenant lives on.
// NetworkPolicies leave it to the CNI: the local environment's own network
// decides about new connections, as most others do.
func TestConnectionOpenBeforeTheLabel(t *testing.T) {
	requireEnvironment(t)
	const namespace = "e2e-open"
	newNamespace(t, namespace, "")
	held := make(chan error, 1)
	go func() {
		_, err := probe(t.Context(), namespace, "hold", "http://"+shared.Plan.Echoes[1].String()+"/", "40s")
		held <- err
	}()
	to := shared.Plan.Echoes[1].String() + ":80"
	if _, err := probe(t.Context(), namespace, "dial", "tcp", to); err != nil {
		t.Fatal(err)
	}
	label(t, namespace, "egress.scw/tenant=client-a")
	waitPolicy(t, namespace, true)
	eventually(t, "new connections to be closed", func() (bool, string) {
		_, err := probe(t.Context(), namespace, "dial", "tcp", to)
		return err != nil && isProbes(err), "open"
	})
	if err := <-held; err != nil {
		t.Errorf("the open connection was cut: %v", err)
	}
}
