package scaleway

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	nic "github.com/scaleway/scaleway-sdk-go/api/instance/v2alpha1"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// replaceNIC replaces the proxy's NIC by one without the reserved address, as an
// administrator can in Scaleway's console.
func replaceNIC(t *testing.T, cloud *Cloud, graph *stack.Graph) {
	t.Helper()
	server := graph.Proxies[0].Server.ID
	list, err := cloud.nic.ListPrivateNetworkInterfaces(&nic.ListPrivateNetworkInterfacesRequest{Zone: cloud.zone, ServerIDs: []string{server}})
	if err != nil || len(list.PrivateNetworkInterfaces) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	if err := cloud.deletePrivateNIC(t.Context(), &stack.PrivateNIC{ResourceMeta: stack.ResourceMeta{ID: list.PrivateNetworkInterfaces[0].ID}, Server: graph.Proxies[0].Server}, silent); err != nil {
		t.Fatal(err)
	}
	_, err = cloud.nic.CreatePrivateNetworkInterface(&nic.CreatePrivateNetworkInterfaceRequest{
		Zone: cloud.zone, ServerID: &server, PrivateNetworkID: graph.Network.ID,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The API deletes a NIC only after it was detached.
func TestNICWithoutTheAddress(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	spec := newSpec(t)
	cloud := f.cloud(t.Context(), t, spec)
	made, err := apply(t.Context(), cloud, spec)
	if err != nil {
		t.Fatal(err)
	}
	want := scwfake.Summary(f.Inventory())
	replaceNIC(t, cloud, made.Graph)
	repair, err := apply(t.Context(), cloud, spec)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(stepsOf(repair), func(step string) bool { return strings.HasPrefix(step, "replace private-nic/proxy") }) {
		t.Errorf("the plan was %q", stepsOf(repair))
	}
	requireNothingToDo(t, cloud, spec)
	if diff := cmp.Diff(want, scwfake.Summary(f.Inventory())); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// nicAPI answers for a NIC: its states in turn, and the statuses of both requests.
type nicAPI struct {
	states         []string // JSON of the NIC; "" is an answer 404
	detach, delete int      // status

	requests []string
}

func (n *nicAPI) handle(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		state := next(n.states, 0)
		if len(n.states) > 1 {
			n.states = n.states[1:]
		}
		if state == "" {
			answer(http.StatusNotFound, bodyNotFound)(w, r)
			return
		}
		answer(http.StatusOK, state)(w, r)
	case http.MethodPost:
		n.requests = append(n.requests, "detach")
		answer(n.detach, map[int]string{200: `{"id": "server"}`, 409: bodyTransient, 404: bodyUntyped, 403: bodyPermissions}[n.detach])(w, r)
	default:
		n.requests = append(n.requests, "delete")
		answer(n.delete, map[int]string{412: bodyPrecondition, 404: bodyNotFound}[n.delete])(w, r)
	}
}

func TestDeletePrivateNIC(t *testing.T) {
	t.Parallel()
	const attached, detaching, free = `{"server_id": "server", "status": "available"}`, `{"server_id": "server", "status": "detaching"}`, `{"server_id": "", "status": "available"}`
	const broken = `{"server_id": "server", "status": "detach_error"}`
	for _, c := range []struct {
		name string
		nicAPI
		want     string // in the error; empty: none
		requests []string
	}{
		{"attached", nicAPI{[]string{attached, detaching, free, ""}, 200, 204, nil}, "", []string{"detach", "delete"}},
		{"slow to begin", nicAPI{[]string{attached, attached, detaching, free, ""}, 200, 204, nil}, "", []string{"detach", "detach", "delete"}},
		{"already detached", nicAPI{[]string{free, ""}, 200, 204, nil}, "", []string{"delete"}},
		{"already gone", nicAPI{[]string{""}, 200, 404, nil}, "", []string{"delete"}},
		{"gone meanwhile", nicAPI{[]string{attached, ""}, 404, 404, nil}, "", []string{"detach", "delete"}},
		{"another change in progress", nicAPI{[]string{attached, attached, attached, attached, free, ""}, 409, 204, nil}, "", []string{"detach", "detach", "detach", "detach", "delete"}},
		{"without the permission", nicAPI{[]string{attached}, 403, 204, nil}, "InstancesFullAccess", []string{"detach", "detach", "detach"}},
		{
			"stuck",
			nicAPI{[]string{attached, broken}, 200, 204, nil},
			`it is in the state "detach_error", and stays there: inspect it in Scaleway's console. Stop the server there, which mends this state, start it, then run this again`,
			[]string{"detach"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			api := c.nicAPI
			cloud := at(t.Context(), t, impatient(), api.handle)
			err := cloud.Delete(t.Context(), &stack.PrivateNIC{ResourceMeta: stack.ResourceMeta{ID: "one"}, Server: &stack.Server{Zone: "fr-par-1"}}, silent)
			if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
			if diff := cmp.Diff(c.requests, api.requests); diff != "" {
				t.Errorf("requests: -want +got\n%s", diff)
			}
		})
	}
}
