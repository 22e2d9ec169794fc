package scaleway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// reference returns the inventory after a run without faults, and the number of its
// requests with a margin, because the number varies between parallel runs.
func reference(t *testing.T, spec stack.Spec) (inventory []string, requests int) {
	t.Helper()
	f := serve(t, scwfake.Options{})
	if _, err := apply(t.Context(), f.cloud(t.Context(), t, spec), spec); err != nil {
		t.Fatal(err)
	}
	return scwfake.Summary(f.Inventory()), f.Requests() + f.Requests()/10
}

// At each request of an apply and of a destroy, each kind of fault happens once. A run
// survives transient faults; after the others, the next run continues. In the end there
// is exactly one of each resource, or none after a destroy, and nothing left to do.
func TestEveryFaultAtEachRequest(t *testing.T) {
	t.Parallel()
	spec := newSpec(t)
	want, requests := reference(t, spec)
	for _, kind := range []scwfake.FaultKind{
		scwfake.FaultTooManyRequests, scwfake.FaultInternal, scwfake.FaultUnavailable, scwfake.FaultReplyLost,
		scwfake.FaultReset, scwfake.FaultQuota, scwfake.FaultOutOfStock,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			applied := 0
			for position := 1; position <= requests; position++ {
				applied += faultAt(t, spec, scwfake.Fault{Call: position, Kind: kind}, want)
			}
			t.Logf("%d faults at %d positions", applied, requests)
			// Faults of quota and stock happen at the next creation, so that every position
			// up to the last creation has one.
			if least := len(want); applied < least {
				t.Errorf("%d faults happened, which is fewer than %d", applied, least)
			}
		})
	}
	const parts = 4 // these cases mostly wait
	for part := range parts {
		t.Run(fmt.Sprintf("%s, %d of %d", scwfake.FaultTimeout, part+1, parts), func(t *testing.T) {
			t.Parallel()
			applied := 0
			for position := 1 + part; position <= requests; position += parts {
				applied += faultAt(t, spec, scwfake.Fault{Call: position, Kind: scwfake.FaultTimeout}, want)
			}
			if least := len(want) / parts; applied < least {
				t.Errorf("%d faults happened, which is fewer than %d", applied, least)
			}
		})
	}
}

// Two machines in two zones, without a cluster: at each request another kind of fault
// happens.
func TestFaultsAtEachRequestOfTwoMachines(t *testing.T) {
	t.Parallel()
	spec := newSpec(t, withoutCluster(machines(2, "fr-par-1", "fr-par-2"))...)
	want, requests := reference(t, spec)
	kinds := []scwfake.FaultKind{
		scwfake.FaultReplyLost, scwfake.FaultOutOfStock, scwfake.FaultReset, scwfake.FaultQuota, scwfake.FaultInternal,
		scwfake.FaultTimeout, scwfake.FaultUnavailable, scwfake.FaultTooManyRequests,
	}
	applied := 0
	for position := 1; position <= requests; position++ {
		for _, kind := range []scwfake.FaultKind{kinds[position%len(kinds)], kinds[(position+len(kinds)/2+1)%len(kinds)]} {
			applied += faultAt(t, spec, scwfake.Fault{Call: position, Kind: kind}, want)
		}
	}
	if least := len(want); applied < least {
		t.Errorf("%d faults happened, which is fewer than %d", applied, least)
	}
}

// faultAt runs apply and destroy, each with a fault, and returns the number of faults
// that happened.
func faultAt(t *testing.T, spec stack.Spec, fault scwfake.Fault, want []string) int {
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
	happened := f.Applied()
	switch {
	case err != nil && passes:
		t.Errorf("apply with %s at request %d: %v", fault.Kind, fault.Call, err)
	case err == nil && !passes && happened > 0:
		t.Errorf("apply with %s at request %d: no error", fault.Kind, fault.Call)
	}
	f.SetFaults(nil)
	requireConverged(t, f, cloud, spec, want, fault)

	f.ResetCount()
	f.SetFaults([]scwfake.Fault{fault})
	if err := destroy(t.Context(), cloud, spec); err != nil {
		t.Errorf("destroy with %s at request %d: %v", fault.Kind, fault.Call, err)
	}
	happened += f.Applied()
	f.SetFaults(nil)
	if left := f.Inventory(); len(left) > 0 {
		t.Errorf("destroy with %s at request %d leaves %v", fault.Kind, fault.Call, left)
	}
	return happened
}

// requireConverged runs apply once more. It requires that exactly the wanted resources
// exist, and that nothing is left to do.
func requireConverged(t *testing.T, f *fake, cloud *Cloud, spec stack.Spec, want []string, what any) {
	t.Helper()
	if _, err := apply(t.Context(), cloud, spec); err != nil {
		t.Fatalf("apply after %v: %v", what, err)
	}
	if diff := cmp.Diff(want, scwfake.Summary(f.Inventory())); diff != "" {
		t.Errorf("the resources after %v: -want +got\n%s", what, diff)
	}
	requireNothingToDo(t, cloud, spec)
}

// At each request of an apply and of a destroy, the run is cancelled: before the request
// takes effect, and afterwards. It stops, and the next run continues.
func TestInterruptionAtEachRequest(t *testing.T) {
	t.Parallel()
	errStop := errors.New("stopped by the test")
	for _, c := range []struct {
		when, machines string
		spec           stack.Spec
	}{
		{"before", "one machine", newSpec(t)},
		{"after", "one machine", newSpec(t)},
		{"before", "two machines", newSpec(t, withoutCluster(machines(2, "fr-par-1", "fr-par-2"))...)},
		{"after", "two machines", newSpec(t, withoutCluster(machines(2, "fr-par-1", "fr-par-2"))...)},
	} {
		when, spec := c.when, c.spec
		t.Run(c.when+", "+c.machines, func(t *testing.T) {
			t.Parallel()
			want, requests := reference(t, spec)
			for position := 1; position <= requests; position++ {
				var stop context.CancelCauseFunc
				at := func(n int) {
					if n == position && stop != nil {
						stop(errStop)
					}
				}
				options := scwfake.Options{}
				hook := func(n int, _ *http.Request) { at(n) }
				if when == "before" {
					options.OnRequest = hook
				} else {
					options.OnReply = hook
				}
				f := serve(t, options)

				var ctx context.Context
				ctx, stop = context.WithCancelCause(t.Context())
				cloud := f.cloud(t.Context(), t, spec)
				f.ResetCount()
				_, err := apply(ctx, cloud, spec)
				if err != nil && !errors.Is(err, errStop) {
					t.Errorf("apply ended %s request %d: %v", when, position, err)
				}
				stop = nil
				f.settled()
				cloud = f.cloud(t.Context(), t, spec)
				requireConverged(t, f, cloud, spec, want, fmt.Sprintf("an end %s request %d", when, position))

				ctx, stop = context.WithCancelCause(t.Context())
				f.ResetCount()
				err = destroy(ctx, cloud, spec)
				if err != nil && !errors.Is(err, errStop) {
					t.Errorf("destroy ended %s request %d: %v", when, position, err)
				}
				stop = nil
				f.settled()
				if err := destroy(t.Context(), f.cloud(t.Context(), t, spec), spec); err != nil {
					t.Fatalf("destroy after an end %s request %d: %v", when, position, err)
				}
				if left := f.Inventory(); len(left) > 0 {
					t.Errorf("destroy ended %s request %d leaves %v", when, position, left)
				}
			}
		})
	}
}
