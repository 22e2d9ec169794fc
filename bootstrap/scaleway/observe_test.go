package scaleway

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"egress.scw/bootstrap/scwfake"
)

// All resources are deleted after one of the requests of an observation: a resource from
// a list does not exist any more when its parts are requested. That is not an error,
// because such deletions can still be in progress after an interrupted destroy.
func TestResourcesDeletedDuringObservation(t *testing.T) {
	t.Parallel()
	spec := newSpec(t)
	for position := 1; ; position++ {
		var armed atomic.Bool
		var destroyAll func()
		f := serve(t, scwfake.Options{OnReply: func(n int, _ *http.Request) {
			if n == position && armed.CompareAndSwap(true, false) {
				destroyAll()
			}
		}})
		cloud := f.cloud(t.Context(), t, spec)
		if _, err := apply(t.Context(), cloud, spec); err != nil {
			t.Fatal(err)
		}
		destroyAll = func() {
			if err := destroy(t.Context(), cloud, spec); err != nil {
				t.Errorf("destroy after request %d: %v", position, err)
			}
		}
		f.ResetCount()
		armed.Store(true)
		if _, err := cloud.Observe(t.Context(), spec); err != nil {
			t.Errorf("observation, with deletions after request %d: %v", position, err)
		}
		if armed.Load() {
			if position < 10 {
				t.Fatalf("the observation took only %d requests", position-1)
			}
			return
		}
		if left := f.Inventory(); len(left) > 0 {
			t.Errorf("destroy after request %d leaves %q", position, scwfake.Summary(left))
		}
	}
}

// Rejected credentials are one error, whichever request is rejected first: the requests
// that are cancelled because of it do not add errors.
func TestRejectedCredentialsAreOneError(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{Token: "44444444-4444-4444-8444-444444444444", OnRequest: func(_ int, r *http.Request) {
		switch { // volumes are rejected first, then clusters cancel the others
		case strings.HasSuffix(r.URL.Path, "/volumes"):
		case strings.HasSuffix(r.URL.Path, "/clusters"):
			time.Sleep(100 * time.Millisecond)
		default:
			time.Sleep(400 * time.Millisecond)
		}
	}})
	spec := newSpec(t)
	_, err := f.cloud(t.Context(), t, spec).Observe(t.Context(), spec)
	if err == nil || !strings.Contains(err.Error(), "does not accept the credentials") || strings.Contains(err.Error(), "canceled") {
		t.Error(err)
	}
}
