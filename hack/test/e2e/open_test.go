package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

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
	ctx, end := context.WithCancel(t.Context())
	defer end()
	go func() {
		// Longer than a busy machine needs for the steps below.
		_, err := probe(ctx, namespace, "hold", "http://"+shared.Plan.Echoes[1].String()+path, "10m")
		held <- err
	}()
	waitRequest := func(after time.Time) {
		t.Helper()
		eventually(t, "a request on the connection", func() (bool, string) {
			select {
			case err := <-held:
				t.Fatalf("with the network %s, the connection has ended: %v", *cni, err)
			default:
			}
			events, err := shared.InternetEvents()
			if err != nil {
				t.Fatal(err)
			}
			return slices.ContainsFunc(events, func(event internet.Event) bool {
				return event.Kind == internet.EventRequest && event.Path == path && event.Time.After(after)
			}), fmt.Sprintf("no request for %s after %s among %d events", path, after, len(events))
		})
	}
	waitRequest(time.Time{})
	to := shared.Plan.Echoes[1].String() + ":80"
	label(t, namespace, "egress.scw/tenant=client-a")
	waitPolicy(t, namespace, true)
	eventually(t, "new connections to be closed", func() (bool, string) {
		_, err := probe(t.Context(), namespace, "dial", "tcp", to)
		return err != nil && isProbes(err), "open"
	})
	if *cni != environment.CNICilium {
		waitRequest(time.Now())
		return
	}
	if err := <-held; err == nil || !strings.Contains(err.Error(), "requests: ") {
		t.Errorf("with the network %s: the open connection was not cut: %v", *cni, err)
	}
}
