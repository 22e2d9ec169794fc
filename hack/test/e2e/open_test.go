package e2e

import (
	"strings"
	"testing"

	"egress.scw/hack/local/environment"
)

// A connection that is open when a namespace gets its tenant: NetworkPolicies
// leave it to the CNI. Cilium cuts it, and the local environment's own network,
// as most others, lets it live.
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
	err := <-held
	switch cut := err != nil && strings.Contains(err.Error(), "requests: "); {
	case err != nil && !cut:
		t.Fatal(err)
	case cut != (*cni == environment.CNICilium):
		t.Errorf("with the network %s: the open connection was cut: %t, %v", *cni, cut, err)
	}
}
