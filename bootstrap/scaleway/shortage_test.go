package scaleway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/scaleway/scaleway-sdk-go/api/k8s/v1"

	"egress.scw/bootstrap/scwfake"
)

// requireLater requires that the next run completes what a shortage has prevented.
func requireLater(t *testing.T, f *fake, cloud *Cloud) {
	t.Helper()
	spec := newSpec(t)
	f.SetShortage()
	if _, err := apply(t.Context(), cloud, spec); err != nil {
		t.Fatalf("apply after the shortage: %v", err)
	}
	requireNothingToDo(t, cloud, spec)
}

// A server that falls back to stopped after the power-on ends the run, with the detail
// and with types and zones that are available. Power-on is requested once.
func TestPowerOnOfASoldOutType(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	spec := newSpec(t)
	cloud := f.cloud(t.Context(), t, spec)
	f.SetShortage("PLAY2-NANO")
	_, err := apply(t.Context(), cloud, spec)
	const want = "power/proxy (egress-test-proxy): after an accepted power-on, the server stopped again (not enough resources). " +
		"A type that is sold out is a frequent cause: there are PLAY2-MICRO, PLAY2-PICO here, and PLAY2-NANO in none; or run this again later"
	if err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	actions := 0
	for _, call := range f.Calls() {
		if call.Method == http.MethodPost && strings.HasSuffix(call.Path, "/action") {
			actions++
		}
	}
	if actions != 1 {
		t.Errorf("%d actions were requested", actions)
	}
	requireLater(t, f, cloud)
}

// A pool that stays in "warning" ends the run, with the messages of the pool and of its
// nodes.
func TestPoolOfASoldOutType(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	spec := newSpec(t)
	cloud := f.cloud(t.Context(), t, spec)
	f.SetShortage("PRO2-XXS")
	_, err := apply(t.Context(), cloud, spec)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`pool/system (system): it is in the state "warning", and stays there: inspect it in Scaleway's console: some nodes could not be created; node scw-egress-test-system-`,
		": creation_error, resource is out of stock. When the cause is removed (often a quota, or a type that is sold out), run this again",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got\n%v\nwant\n%s", err, want)
		}
	}
	requireLater(t, f, cloud)
}

// The messages of nodes are shown once each.
func TestNodeProblems(t *testing.T) {
	t.Parallel()
	got := nodeProblems([]*k8s.Node{
		{Name: "a", Status: k8s.NodeStatusReady, ErrorMessage: new("")},
		{Name: "b", Status: k8s.NodeStatusCreationError, ErrorMessage: new("quota")},
		{Name: "c", Status: k8s.NodeStatusCreationError, ErrorMessage: new("quota")},
		{Name: "d", Status: k8s.NodeStatusCreationError},
		{Name: "e", Status: k8s.NodeStatusNotReady, ErrorMessage: new("lost")},
	})
	const want = "node b: creation_error, quota; node d: creation_error; node e: not_ready, lost"
	if text := strings.Join(got, "; "); text != want {
		t.Errorf("got %s, want %s", text, want)
	}
}
