package scaleway

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// An address that a running server gets is "pending" for a while. The run waits for its
// end.
func TestAddressOfARunningServer(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	spec := newSpec(t)
	cloud := f.cloud(t.Context(), t, spec)
	if _, err := apply(t.Context(), cloud, spec); err != nil {
		t.Fatal(err)
	}
	changed := newSpec(t, "{name: client-a, proxy: {port: 3129}}", "{name: client-a, proxy: {port: 3129, egressIP: Dedicated}}")
	if _, err := apply(t.Context(), cloud, changed); err != nil {
		t.Fatal(err)
	}
	for _, item := range f.Inventory() {
		if item.Kind == "flexible-ip" && item.Status != "attached" {
			t.Errorf("after the run, %s is %s", item.Details["address"], item.Status)
		}
	}
	requireNothingToDo(t, cloud, changed)
}

// addressAPI answers for an address: its states in turn.
type addressAPI struct {
	states []string // "STATE SERVER"; the last one is repeated

	requests []string
}

func (a *addressAPI) handle(w http.ResponseWriter, r *http.Request) {
	state, server, _ := strings.Cut(next(a.states, 0), " ")
	if r.Method != http.MethodGet {
		body, _ := io.ReadAll(r.Body)
		a.requests = append(a.requests, string(body))
	} else if len(a.states) > 1 {
		a.states = a.states[1:]
	}
	held := "null"
	if server != "" {
		held = `{"id": "` + server + `"}`
	}
	answer(http.StatusOK, `{"ip": {"id": "one", "state": "`+state+`", "server": `+held+`}}`)(w, r)
}

// An address whose attachment failed is detached first, like one of another server. An
// attachment that fails for good is an error.
func TestAttach(t *testing.T) {
	t.Parallel()
	const take, leave = `{"server":"ours"}`, `{"server":null}`
	for _, c := range []struct {
		name     string
		states   []string
		lasting  string // the state in the error; empty: none
		requests []string
	}{
		{"free", []string{"detached", "attached ours"}, "", []string{take}},
		{"free, and it takes time", []string{"detached", "detached", "pending ours", "pending ours", "attached ours"}, "", []string{take}},
		{"attached", []string{"attached ours"}, "", nil},
		{"being attached", []string{"pending ours", "pending ours", "attached ours"}, "", nil},
		{"attached elsewhere", []string{"attached theirs", "attached ours"}, "", []string{leave, take}},
		{"failed before", []string{"error ours", "pending ours", "attached ours"}, "", []string{leave, take}},
		{"fails for good", []string{"detached", "pending ours", "error ours"}, "error", []string{take}},
		{"does not begin", []string{"detached"}, "detached", []string{take}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			api := addressAPI{states: c.states}
			cloud := at(t.Context(), t, impatient(), api.handle)
			err := cloud.Create(t.Context(), &stack.Attachment{
				IP:     &stack.FlexibleIP{ResourceMeta: stack.ResourceMeta{ID: "one"}, Zone: "fr-par-1"},
				Server: &stack.Server{ResourceMeta: stack.ResourceMeta{ID: "ours"}, Zone: "fr-par-1"},
			}, silent)
			lasting, ok := errors.AsType[*lastingError](err)
			if ok != (c.lasting != "") || (ok && lasting.status != c.lasting) || (!ok && err != nil) {
				t.Errorf("the error is %v, want %q", err, c.lasting)
			}
			if diff := cmp.Diff(c.requests, api.requests); diff != "" {
				t.Errorf("requests: -want +got\n%s", diff)
			}
		})
	}
}

// An address that is not attached for good is a difference, and the next run attaches
// it.
func TestObservedStateOfAddresses(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]string{"attached": "attached", "pending": "pending", "error": "error"} {
		cloud := at(t.Context(), t, impatient(), answer(http.StatusOK,
			`{"ips": [{"id": "one", "address": "203.0.113.1", "project": "`+scwfake.DefaultProjectID+`", "tags": ["`+stack.OwnerTag("test")+`"], "state": "`+state+`", "server": {"id": "ours"}}]}`))
		found, err := cloud.findFlexibleIPs(t.Context(), cloud.zone)
		if err != nil || len(found) != 1 || found[0].State != want {
			t.Errorf("%s: %v, %v", state, found, err)
		}
	}
}
