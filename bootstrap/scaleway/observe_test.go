package scaleway

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"egress.scw/bootstrap/scwfake"
)

// Everything is deleted after one of the requests that look for it: what a list
// named is not there any more when its parts are asked for. That is no error.
// An interrupted destruction can leave such deletions under way.
func TestGoneWhileLooking(t *testing.T) {
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
			t.Errorf("looking, while everything goes after request %d: %v", position, err)
		}
		if armed.Load() {
			if position < 10 {
				t.Fatalf("looking took %d requests alone", position-1)
			}
			return
		}
		if left := f.Inventory(); len(left) > 0 {
			t.Errorf("destroy after request %d leaves %q", position, scwfake.Summary(left))
		}
	}
}

// A key that nobody has is one error, wherever it is noticed first: requests that
// are stopped on account of it say nothing.
func TestDeniedIsOneError(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{Token: "44444444-4444-4444-8444-444444444444", OnRequest: func(_ int, r *http.Request) {
		switch { // volumes are the first to be denied, then clusters stop the rest
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
