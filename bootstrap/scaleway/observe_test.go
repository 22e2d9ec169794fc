package scaleway

import (
	"net/http"
	"sync/atomic"
	"testing"

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
