package scaleway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// reference returns the inventory after a run without faults.
func reference(t *testing.T, spec stack.Spec) []string {
	t.Helper()
	f := serve(t, scwfake.Options{})
	applied(t, f.cloud(t.Context(), t, spec), spec)
	return scwfake.Summary(f.Inventory())
}

// The numbers of requests of any run are between these.
const fewestRequests, mostRequests = 20, 1000

// eachPosition runs a test with positions, from the first one on. The test returns the next
// position, or 0 if the run has no request of this number. Each position is a test of its
// own, so that its fake is freed when it ends.
func eachPosition(t *testing.T, first int, at func(t *testing.T, position int) (next int)) {
	t.Helper()
	for position := first; position < mostRequests; {
		next := position + 1 // if this one is not selected
		passed := t.Run(strconv.Itoa(position), func(t *testing.T) {
			next = 0 // if it stops
			next = at(t, position)
		})
		if next == 0 {
			if passed && position < fewestRequests {
				t.Errorf("the run has no request %d", position)
			}
			return
		}
		position = next
	}
}

// At each request of an apply and of a destroy, faults happen, each once. A run survives
// transient faults; after the others, the next run continues. In the end there is exactly
// one of each resource, or none after a destroy, and nothing left to do.
//
// Kinds that the client does not tell apart share the requests. It reads no body of a status
// from 500 on, and has no answer whether the connection is reset or silent. It repeats a
// request that is not a POST after each of these and after a 429, and a lost reply to a GET
// is no more than a missing one.
func TestEveryFaultAtEachRequest(t *testing.T) {
	t.Parallel()
	spec := newSpec(t)
	want := reference(t, spec)
	for _, c := range []struct {
		kinds []scwfake.FaultKind
		// methods are those of the requests. Empty: of all.
		methods []string
	}{
		{[]scwfake.FaultKind{scwfake.FaultInternal, scwfake.FaultUnavailable}, []string{""}},
		{[]scwfake.FaultKind{scwfake.FaultTimeout, scwfake.FaultReset}, []string{""}},
		{[]scwfake.FaultKind{scwfake.FaultTooManyRequests}, []string{http.MethodPost}},
		{[]scwfake.FaultKind{scwfake.FaultReplyLost}, []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}},
		// Of the requests that create a resource.
		{[]scwfake.FaultKind{scwfake.FaultQuota}, []string{http.MethodPost}},
		{[]scwfake.FaultKind{scwfake.FaultOutOfStock}, []string{http.MethodPost}},
	} {
		for _, method := range c.methods {
			t.Run(fmt.Sprint(c.kinds[0], " ", cmp.Or(method, "any")), func(t *testing.T) {
				t.Parallel()
				eachPosition(t, 1, func(t *testing.T, position int) int {
					t.Helper()
					kind := c.kinds[position%len(c.kinds)]
					return faultAt(t, spec, scwfake.Fault{Call: position, Method: method, Kind: kind}, want)
				})
			})
		}
	}
}

// Two machines in two zones, without a cluster: at each request another kind of fault
// happens.
func TestFaultsAtEachRequestOfTwoMachines(t *testing.T) {
	t.Parallel()
	spec := newSpec(t, withoutCluster(machines(2, "fr-par-1", "fr-par-2"))...)
	want := reference(t, spec)
	kinds := []scwfake.FaultKind{
		scwfake.FaultReplyLost, scwfake.FaultOutOfStock, scwfake.FaultReset, scwfake.FaultQuota, scwfake.FaultInternal,
		scwfake.FaultTimeout, scwfake.FaultUnavailable, scwfake.FaultTooManyRequests,
	}
	eachPosition(t, 1, func(t *testing.T, position int) int {
		t.Helper()
		kind := kinds[position%len(kinds)]
		next := faultAt(t, spec, scwfake.Fault{Call: position, Kind: kind}, want)
		isRefusal := kind == scwfake.FaultQuota || kind == scwfake.FaultOutOfStock
		if next == 0 && !isRefusal {
			return 0
		}
		return position + 1 // a refusal happens at a creation, which may come later
	})
}

// faultAt runs apply and destroy, each with a fault at the first request that it concerns
// from a position on. It returns the position after that, and 0 if there was no fault.
func faultAt(t *testing.T, spec stack.Spec, fault scwfake.Fault, want []string) (next int) {
	t.Helper()
	f := serve(t, scwfake.Options{})
	options := impatient()
	if fault.Kind == scwfake.FaultTimeout {
		options.RequestTimeout = 500 * time.Millisecond
	}
	cloud := f.cloudWith(t.Context(), t, spec, options)

	passes := fault.Kind != scwfake.FaultQuota && fault.Kind != scwfake.FaultOutOfStock
	f.ResetCount()
	f.SetFaults([]scwfake.Fault{fault})
	_, err := apply(t.Context(), cloud, spec)
	applied := f.LastFault()
	switch {
	case err != nil && passes:
		t.Errorf("apply with %s at request %d: %v", fault.Kind, fault.Call, err)
	case err == nil && !passes && applied > 0:
		t.Errorf("apply with %s at request %d: no error", fault.Kind, fault.Call)
	}
	f.SetFaults(nil)
	requireConverged(t, f, cloud, spec, want, fault)

	f.ResetCount()
	f.SetFaults([]scwfake.Fault{fault})
	if err := destroy(t.Context(), cloud, spec); err != nil {
		t.Errorf("destroy with %s at request %d: %v", fault.Kind, fault.Call, err)
	}
	destroyed := f.LastFault()
	f.SetFaults(nil)
	if left := f.Inventory(); len(left) > 0 {
		t.Errorf("destroy with %s at request %d leaves %v", fault.Kind, fault.Call, left)
	}
	switch {
	case applied == 0 && destroyed == 0:
		return 0
	case applied == 0 || destroyed > 0 && destroyed < applied:
		return destroyed + 1
	default:
		return applied + 1
	}
}

// requireConverged runs apply once more. It requires that exactly the wanted resources
// exist, and that nothing is left to do.
func requireConverged(t *testing.T, f *fake, cloud *Cloud, spec stack.Spec, want []string, what any) {
	t.Helper()
	plan, err := apply(t.Context(), cloud, spec)
	if err != nil {
		t.Fatalf("apply after %v: %v", what, err)
	}
	if diff := gocmp.Diff(want, scwfake.Summary(f.Inventory())); diff != "" {
		t.Errorf("the resources after %v: -want +got\n%s", what, diff)
	}
	if !plan.Empty() { // otherwise it has shown already that nothing is left
		requireNothingToDo(t, cloud, spec)
	}
}

// At each request of an apply and of a destroy, the run is cancelled: before the request
// takes effect, and afterwards. It stops, and the next run continues.
func TestInterruptionAtEachRequest(t *testing.T) {
	t.Parallel()
	for name, spec := range oneAndTwoMachines(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := reference(t, spec)
			eachPosition(t, 1, func(t *testing.T, position int) int {
				t.Helper()
				// In turns, as both carry the request out, and the run does not see the answer.
				when := []string{"before", "after"}[position%2]
				if !interruptedAt(t, spec, when, position, want) {
					return 0
				}
				return position + 1
			})
		})
	}
}

// interruptedAt cancels an apply and a destroy, each at a request. It returns false if the
// apply had fewer requests.
func interruptedAt(t *testing.T, spec stack.Spec, when string, position int, want []string) bool {
	t.Helper()
	what := fmt.Sprintf("an end %s request %d", when, position)
	stop := &interruption{position: position}
	f := serve(t, stop.options(when))
	cloud := f.cloud(t.Context(), t, spec)
	f.ResetCount()
	reached := stop.during(t, func(ctx context.Context) error {
		return applyAll(ctx, cloud, spec)
	})
	f.settled()
	cloud = f.cloud(t.Context(), t, spec)
	requireConverged(t, f, cloud, spec, want, what)

	f.ResetCount()
	stop.during(t, func(ctx context.Context) error { return destroy(ctx, cloud, spec) })
	f.settled()
	if err := destroy(t.Context(), f.cloud(t.Context(), t, spec), spec); err != nil {
		t.Fatalf("destroy after %s: %v", what, err)
	}
	if left := f.Inventory(); len(left) > 0 {
		t.Errorf("destroy leaves after %s: %v", what, left)
	}
	return reached
}

// interruption cancels a run at a request.
type interruption struct {
	position int
	cancel   atomic.Pointer[context.CancelCauseFunc]
	reached  atomic.Bool
}

// options are those of the fake: the run is cancelled before the request takes effect, or
// afterwards.
func (i *interruption) options(when string) scwfake.Options {
	at := func(n int, _ *http.Request) {
		if cancel := i.cancel.Load(); cancel != nil && n == i.position {
			i.reached.Store(true)
			(*cancel)(errInterrupted)
		}
	}
	if when == "before" {
		return scwfake.Options{OnRequest: at}
	}
	return scwfake.Options{OnReply: at}
}

var errInterrupted = errors.New("stopped by the test")

// during carries out a run that is cancelled, and reports whether it had the request. The
// run may succeed, and may not fail for another reason.
func (i *interruption) during(t *testing.T, run func(context.Context) error) (reached bool) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	i.cancel.Store(&cancel)
	defer i.cancel.Store(nil)
	if err := run(ctx); err != nil && !errors.Is(err, errInterrupted) {
		t.Errorf("the run that is cancelled at request %d: %v", i.position, err)
	}
	return i.reached.Load()
}
