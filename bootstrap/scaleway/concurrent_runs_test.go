package scaleway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// disturbance is a run, and another operation that happens during one of its requests.
type disturbance struct {
	spec stack.Spec
	// prepare creates the resources that exist before. Nil: none.
	prepare func(*testing.T, *Cloud)
	// timeout is the timeout of the run's requests. 0: a long one.
	timeout time.Duration
	// run is the disturbed run. It must not fail.
	run func(context.Context, *Cloud, stack.Spec) error
	// other is the operation that disturbs it.
	other func(context.Context, *Cloud, stack.Spec) error
	// check checks the outcome.
	check func(t *testing.T, f *fake, cloud *Cloud, what string)
}

// everywhere disturbs a run at each of its requests: before every second request takes
// effect, and after it, which is before the next one.
func (d disturbance) everywhere(t *testing.T) {
	t.Helper()
	for _, when := range []string{"before", "after"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			d.from(t, when, 1, 2)
		})
	}
}

// from disturbs a run at requests from the first one on, at a distance.
func (d disturbance) from(t *testing.T, when string, first, distance int) {
	t.Helper()
	eachPosition(t, first, func(t *testing.T, position int) int {
		t.Helper()
		if !d.at(t, when, position) {
			return 0
		}
		return position + distance
	})
}

// at disturbs a run once. It returns false if the run had fewer requests.
func (d disturbance) at(t *testing.T, when string, position int) bool {
	t.Helper()
	what := fmt.Sprintf("disturbed %s request %d", when, position)
	var armed atomic.Bool
	var disturb func()
	hook := func(n int, _ *http.Request) {
		if n == position && armed.CompareAndSwap(true, false) {
			disturb()
		}
	}
	options := scwfake.Options{OnRequest: hook}
	if when == "after" {
		options = scwfake.Options{OnReply: hook}
	}
	f := serve(t, options)
	cloud := f.cloud(t.Context(), t, d.spec)
	disturbed := cloud
	if d.timeout > 0 {
		options := impatient()
		options.RequestTimeout = d.timeout
		disturbed = f.cloudWith(t.Context(), t, d.spec, options)
	}
	if d.prepare != nil {
		d.prepare(t, cloud)
	}
	ended := make(chan struct{})
	disturb = func() {
		defer close(ended)
		if err := d.other(t.Context(), cloud, d.spec); err != nil {
			t.Errorf("%s: the other operation: %v", what, err)
		}
	}
	f.ResetCount()
	armed.Store(true)
	if err := d.run(t.Context(), disturbed, d.spec); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	happened := !armed.Load()
	if happened {
		<-ended // a run whose request is repeated does not wait for it
	}
	d.check(t, f, cloud, what)
	return happened
}

func requireNothingLeft(t *testing.T, f *fake, _ *Cloud, what string) {
	t.Helper()
	if left := f.Inventory(); len(left) > 0 {
		t.Errorf("%s: it leaves %q", what, scwfake.Summary(left))
	}
}

// applyAll is apply without its plan.
func applyAll(ctx context.Context, cloud *Cloud, spec stack.Spec) error {
	_, err := apply(ctx, cloud, spec)
	return err
}

func applied(t *testing.T, cloud *Cloud, spec stack.Spec) {
	t.Helper()
	if err := applyAll(t.Context(), cloud, spec); err != nil {
		t.Fatal(err)
	}
}

// At each request of a destroy, another destroy happens as a whole. A resource that
// does not exist any more is not an error: two runs may destroy at the same time, and a
// run that was killed may have requested deletions that are still in progress.
func TestConcurrentDestroys(t *testing.T) {
	t.Parallel()
	for name, spec := range oneAndTwoMachines(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disturbance{
				spec: spec, run: destroy, other: destroy, check: requireNothingLeft,
				// The SDK locks a server within the process while it changes it. The other
				// run waits for the lock.
				timeout: 2 * time.Second,
				prepare: func(t *testing.T, cloud *Cloud) { t.Helper(); applied(t, cloud, spec) },
			}.everywhere(t)
		})
	}
}

// At each request of an apply, another apply happens as a whole. In the end there is
// one of each resource.
func TestConcurrentApplies(t *testing.T) {
	t.Parallel()
	for name, spec := range oneAndTwoMachines(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := reference(t, spec)
			disturbance{
				spec: spec, run: applyAll, other: applyAll,
				check: func(t *testing.T, f *fake, cloud *Cloud, what string) {
					t.Helper()
					if diff := cmp.Diff(want, scwfake.Summary(f.Inventory())); diff != "" {
						t.Errorf("%s: the resources: -want +got\n%s", what, diff)
					}
					requireNothingToDo(t, cloud, spec)
				},
			}.everywhere(t)
		})
	}
}

// oneAndTwoMachines are stacks with one machine, and with two in two zones, without a
// cluster.
func oneAndTwoMachines(t *testing.T) map[string]stack.Spec {
	t.Helper()
	return map[string]stack.Spec{
		"one machine":  newSpec(t),
		"two machines": newSpec(t, withoutCluster(machines(2, "fr-par-1", "fr-par-2"))...),
	}
}

// An apply is cancelled just before it starts the server. Its last request takes effect
// while a destroy, which observed a stopped server, deletes the server.
func TestServerStartedDuringDestroy(t *testing.T) {
	t.Parallel()
	spec := newSpec(t)
	var off atomic.Pointer[stack.Server]
	disturbance{
		spec: spec, run: destroy, check: requireNothingLeft,
		prepare: func(t *testing.T, cloud *Cloud) {
			t.Helper()
			plan := must[*stack.Plan](t)(plan(t.Context(), cloud, spec))
			for _, step := range plan.Steps {
				if step.Kind == stack.KindPower {
					continue
				}
				if err := cloud.Create(t.Context(), step.Resource(), silent); err != nil {
					t.Fatal(err)
				}
			}
			off.Store(plan.Graph.Proxies[0].Server)
		},
		other: func(ctx context.Context, cloud *Cloud, _ stack.Spec) error {
			server, err := cloud.getServer(ctx, cloud.zone, off.Load().ID)
			if isNotFound(err) {
				return nil
			}
			request := actionRequest{cloud: cloud, zone: cloud.zone, server: server.ID, action: instance.ServerActionPoweron}
			return errors.Join(err, request.send(ctx, server))
		},
	}.everywhere(t)
}

// Several runs that destroy at the same time all succeed.
func TestSeveralDestroysAtOnce(t *testing.T) {
	t.Parallel()
	spec := newSpec(t)
	for range 20 {
		f := serve(t, scwfake.Options{})
		cloud := f.cloud(t.Context(), t, spec)
		applied(t, cloud, spec)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if err := destroy(t.Context(), cloud, spec); err != nil {
					t.Errorf("one of three: %v", err)
				}
			})
		}
		all.Wait()
		requireNothingLeft(t, f, cloud, "three at once")
	}
}

// Two runs that start at the same time create one of each resource. Which of them creates
// which depends on chance, so that there are many attempts.
func TestTwoAppliesAtOnce(t *testing.T) {
	t.Parallel()
	spec := newSpec(t)
	want := reference(t, spec)
	for attempt := range 100 {
		t.Run(strconv.Itoa(attempt+1), func(t *testing.T) {
			f := serve(t, scwfake.Options{})
			var both sync.WaitGroup
			for range 2 {
				cloud := f.cloud(t.Context(), t, spec)
				both.Go(func() {
					if err := applyAll(t.Context(), cloud, spec); err != nil {
						t.Errorf("one of two: %v", err)
					}
				})
			}
			both.Wait()
			if diff := cmp.Diff(want, scwfake.Summary(f.Inventory())); diff != "" {
				t.Errorf("the resources: -want +got\n%s", diff)
			}
			requireNothingToDo(t, f.cloud(t.Context(), t, spec), spec)
		})
	}
}
