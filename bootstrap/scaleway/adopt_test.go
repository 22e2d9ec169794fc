package scaleway

import (
	"slices"
	"strings"
	"testing"

	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// Between the question of adopt and its answer, the resource may change: tags of another
// tool are kept, and a resource of another stack, or one that is gone, is an error.
func TestAdoptLooksAgain(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	ctx := t.Context()
	ours, theirs := f.cloud(ctx, t, newSpec(t)), f.cloud(ctx, t, newSpec(t, "name: test", "name: other"))
	for name, test := range map[string]struct {
		meanwhile func(id string) error
		want      string // part of the error
		tags      []string
	}{
		"another tool": {func(id string) error {
			_, err := ours.instance.UpdateIP(&instance.UpdateIPRequest{Zone: ours.zone, IP: id, Tags: &[]string{"terraform", "billing"}})
			return err
		}, "", []string{"terraform", "billing", "egress-scw=test", "egress-scw-role=shared"}},
		"another stack": {func(id string) error {
			adoptable, err := theirs.AdoptableAddress(ctx, string(theirs.zone), stack.RoleShared, id)
			if err != nil {
				return err
			}
			return theirs.Adopt(ctx, adoptable)
		}, "it belongs to the stack other", []string{"terraform", "egress-scw=other", "egress-scw-role=shared"}},
		"deleted": {func(id string) error {
			return ours.instance.DeleteIP(&instance.DeleteIPRequest{Zone: ours.zone, IP: id})
		}, "not found", nil},
	} {
		created := must[*instance.CreateIPResponse](t)(ours.instance.CreateIP(&instance.CreateIPRequest{
			Zone: ours.zone, Project: &ours.project, Type: instance.IPTypeRoutedIPv4, Tags: []string{"terraform"},
		}))
		adoptable, err := ours.AdoptableAddress(ctx, string(ours.zone), stack.RoleShared, created.IP.ID)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := test.meanwhile(created.IP.ID); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		err = ours.Adopt(ctx, adoptable)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if at := slices.IndexFunc(f.Inventory(), func(item scwfake.Item) bool { return item.ID == created.IP.ID }); at >= 0 {
			if got := f.Inventory()[at].Tags; !slices.Equal(got, test.tags) {
				t.Errorf("%s: the tags are %q, want %q", name, got, test.tags)
			}
		}
	}
}
