package e2e

import (
	"context"
	"fmt"
	"maps"
	"testing"
)

// The node asks the registry that a tenant's pod names, past the proxy. The
// chart's list of registries, which is empty by default, stops that.
func TestAttackByImages(t *testing.T) {
	requireEnvironment(t)
	t.Parallel()
	release, err := shared.Release()
	if err != nil {
		t.Fatal(err)
	}
	// Helm would wait until the tenants are ready, which attacks of other tests prevent.
	release.Wait = false
	listed := release
	listed.Values = maps.Clone(release.Values)
	listed.Values["guards"] = map[string]any{"imageRegistries": []any{"docker.io/egress-local"}}
	t.Cleanup(func() {
		if err := release.Upgrade(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if err := listed.Upgrade(t.Context()); err != nil {
		t.Fatal(err)
	}
	attack{
		name:  "image of the attacker's registry",
		stops: []stop{byGuard("image-registries")},
		attempt: func(ctx context.Context, a attacker) error {
			return a.apply(ctx, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: odd}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: '%s/data-in-a-name:and-a-tag'}]
`, at(portRegistry)))
		},
		undo:     remove("pod/odd"),
		succeeds: arrivesAt(portRegistry),
	}.run(t, newAttacker(t, "e2e-attack-image", "client-a"))
}
