package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"egress.scw/hack/local/environment"
)

// A pod that does not end when it should is closed in until it has ended, while
// its namespace is deleted. Without a tenant it connects until then.
func TestAttackWhileTheNamespaceEnds(t *testing.T) {
	requireEnvironment(t)
	t.Parallel()
	const stubborn = `
apiVersion: v1
kind: Pod
metadata: {name: stubborn}
spec:
  terminationGracePeriodSeconds: 20
  containers: [{name: c, image: %s, imagePullPolicy: Never, args: [dials, '%s', 10m]}]
`
	tenant, plain := netip.AddrPortFrom(shared.Plan.Echoes[1], 4300), netip.AddrPortFrom(shared.Plan.Echoes[1], 4301)
	a := newAttacker(t, "e2e-attack-end", "client-a")
	newNamespace(t, "e2e-attack-end-plain", "")
	if err := a.apply(t.Context(), fmt.Sprintf(stubborn, environment.ProbeImage, tenant)); err != nil {
		t.Fatal(err)
	}
	if _, err := shared.Kubectl(t.Context(), strings.NewReader(fmt.Sprintf(stubborn, environment.ProbeImage, plain)),
		"--namespace=e2e-attack-end-plain", "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	for _, namespace := range []string{a.namespace, "e2e-attack-end-plain"} {
		if _, err := kubectl(t.Context(), "--namespace="+namespace, "wait", "--for=condition=Ready", "pod/stubborn", "--timeout=300s"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the pod without a tenant to connect", func() (bool, string) {
		return arrivedAt(t, "tcp", plain) > 0, "no packet"
	})
	before := arrivedAt(t, "tcp", plain)
	if _, err := kubectl(context.WithoutCancel(t.Context()), "delete", "namespace", a.namespace, "e2e-attack-end-plain", "--wait=true"); err != nil {
		t.Fatal(err)
	}
	// It dials a hundred times a second, for most of its grace period.
	if n := arrivedAt(t, "tcp", plain) - before; n < 50 {
		t.Errorf("%d packets of the pod without a tenant while its namespace ended: the pod was not stubborn", n)
	}
	if n := arrivedAt(t, "tcp", tenant); n > 0 {
		t.Errorf("%d packets of the tenant's pod arrived", n)
	}
}
