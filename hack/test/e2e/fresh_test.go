package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"egress.scw/hack/local/environment"
)

// A new pod's first packet passes or is refused by the policies of its
// namespace: neither is it lost because the node does not know the pod yet, nor
// does it pass for that reason.
func TestFirstPacketOfNewPods(t *testing.T) {
	requireEnvironment(t)
	// A packet is repeated too if a busy machine judges it after a second. One that is
	// lost because of an unknown pod is repeated in every round.
	const rounds, count = 5, 5
	internet := netip.AddrPortFrom(shared.Plan.Echoes[1], 80).String()
	own := net.JoinHostPort(shared.Plan.ProxyPrivate.String(), "3129")
	other := net.JoinHostPort(shared.Plan.ProxyPrivate.String(), "3130")

	closed := newPods(t, namespaceA, "other", count, "dial", "tcp", other)
	var repeated []string
	for round := range rounds {
		open := append(newPods(t, namespacePlain, fmt.Sprintf("plain-%d", round), count, "dial", "tcp", internet),
			newPods(t, namespaceA, fmt.Sprintf("own-%d", round), count, "dial", "tcp", own)...)
		repeated = nil
		for _, p := range open {
			if output, ok := p.result(t); !ok || strings.TrimSpace(output) != "repeated: 0" {
				repeated = append(repeated, fmt.Sprintf("%s: %q, succeeded: %t", p.name, output, ok))
			}
		}
		if len(repeated) == 0 {
			break
		}
		t.Logf("round %d: %q", round, repeated)
	}
	if len(repeated) > 0 {
		t.Errorf("%q; want connections with the first packet", repeated)
	}
	for _, p := range closed {
		if output, ok := p.result(t); ok || !strings.Contains(output, "probe: dial") {
			t.Errorf("%s: %q, succeeded: %t; want a dial that fails", p.name, output, ok)
		}
	}
}

// pod is a pod that runs the probe once.
type pod struct{ namespace, name string }

// newPods creates pods that run the probe's program with these arguments, all at
// once.
func newPods(t *testing.T, namespace, prefix string, count int, args ...string) []pod {
	t.Helper()
	list, err := json.Marshal(args) // YAML too
	if err != nil {
		t.Fatal(err)
	}
	var pods []pod
	var manifests strings.Builder
	for i := range count {
		p := pod{namespace, fmt.Sprintf("%s-%d", prefix, i)}
		pods = append(pods, p)
		fmt.Fprintf(&manifests, onceManifest, p.name, namespace, environment.ProbeImage, list)
	}
	t.Cleanup(func() {
		for _, p := range pods {
			p.delete(t)
		}
	})
	if err := shared.Apply(t.Context(), manifests.String()); err != nil {
		t.Fatal(err)
	}
	return pods
}

// onceManifest has the parameters name, namespace, image and arguments. The
// container is root with the runtime's default capabilities.
const onceManifest = `---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  containers:
  - {name: probe, image: %s, imagePullPolicy: Never, args: %s, securityContext: {runAsUser: 0}}
`

// result waits for the end of the pod and returns its output.
func (p pod) result(t *testing.T) (output string, succeeded bool) {
	t.Helper()
	eventually(t, p.name+" to end", func() (bool, string) {
		phase, err := kubectl(t.Context(), "--namespace="+p.namespace, "get", "pod", p.name, "-o", "jsonpath={.status.phase}")
		if err != nil {
			t.Fatal(err)
		}
		succeeded = phase == "Succeeded"
		return succeeded || phase == "Failed", phase
	})
	output, err := kubectl(t.Context(), "--namespace="+p.namespace, "logs", p.name)
	if err != nil {
		t.Fatal(err)
	}
	return output, succeeded
}

func (p pod) delete(t *testing.T) {
	t.Helper()
	// Cleanups run after the test's context has ended.
	if _, err := kubectl(context.WithoutCancel(t.Context()), "--namespace="+p.namespace, "delete", "pod", p.name, "--ignore-not-found"); err != nil {
		t.Error(err)
	}
}
