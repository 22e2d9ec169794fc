package scaleway

import (
	"testing"

	"egress.scw/bootstrap/scwfake"
)

// A run ends when the servers have the changed rules, and not while the group is still
// "syncing".
func TestChangedSecurityGroup(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	spec := newSpec(t)
	cloud := f.cloud(t.Context(), t, spec)
	if _, err := apply(t.Context(), cloud, spec); err != nil {
		t.Fatal(err)
	}
	if _, err := apply(t.Context(), cloud, newSpec(t, "sshSources: [192.0.2.0/24]", "sshSources: [192.0.2.0/25]")); err != nil {
		t.Fatal(err)
	}
	for _, item := range f.Inventory() {
		if item.Kind == "security-group" && item.Name == "egress-test-proxy" && item.Status != "available" {
			t.Errorf("the group is %s after the run", item.Status)
		}
	}
}
