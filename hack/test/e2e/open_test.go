package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"egress.scw/hack/local/environment"
	"egress.scw/hack/local/internet"
)

// A connection that is open when a namespace gets its tenant: NetworkPolicies
// leave it to the CNI. Cilium cuts it, and the local environment's own network,
// as most others, lets it live.
func TestConnectionOpenBeforeTheLabel(t *testing.T) {
	requireEnvironment(t)
	const namespace = "e2e-open"
	newNamespace(t, namespace, "")
	const path = "/?held=" + namespace
	held := make(chan error, 1)
	go func() {
		_, err := probe(t.Context(), namespace, "hold", "http://"+shared.Plan.Echoes[1].String()+path, "40s")
		held <- err
	}()
	eventually(t, "a request on the connection", func() (bool, string) {
		events, err := shared.InternetEvents()
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(events, func(event internet.Event) bool {
			return event.Kind == internet.EventRequest && event.Path == path
		}), fmt.Sprintf("no request for %s among %d events", path, len(events))
	})
	to := shared.Plan.Echoes[1].String() + ":80"
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
