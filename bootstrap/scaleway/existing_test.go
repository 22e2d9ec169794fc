package scaleway

import (
	"testing"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// egress.yaml can name a network and a cluster that bootstrap created by their IDs
// later, so that they stay. They still carry the tag.
func TestOwnResourcesBecomeExisting(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	spec := newSpec(t)
	cloud := f.cloud(t.Context(), t, spec)
	first, err := apply(t.Context(), cloud, spec)
	if err != nil {
		t.Fatal(err)
	}
	cluster, network := first.Graph.Cluster.ID, first.Graph.Network.ID
	const made = "    acl: [198.51.100.0/24]\n"

	// The cluster alone.
	requireNothingToDo(t, cloud, newSpec(t, made, "    id: "+cluster+"\n"))

	// Both: then they outlive a destroy, and so does the VPC of the network.
	both := newSpec(t, made, "    id: "+cluster+"\n", "{cidr: 172.16.28.0/22}", "{id: "+network+"}")
	requireNothingToDo(t, cloud, both)
	if err := destroy(t.Context(), cloud, both); err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for _, item := range f.Inventory() {
		left[item.ID] = true
	}
	for _, id := range []string{cluster, network, first.Graph.VPC.ID} {
		if !left[id] {
			t.Errorf("%s was deleted; there are %q", id, scwfake.Summary(f.Inventory()))
		}
	}
	observed, err := cloud.Observe(t.Context(), both)
	if err != nil {
		t.Fatal(err)
	}
	if rest := stack.DiffDestroy(observed); !rest.Empty() {
		t.Errorf("still to remove: %q", stepsOf(rest))
	}
}
