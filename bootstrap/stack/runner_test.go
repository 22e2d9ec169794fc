package stack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// stub is a Cloud with one function for all resources.
type stub struct {
	memory

	do func(ctx context.Context, key Key, report func(string)) error
}

func (s *stub) Create(ctx context.Context, r Resource, report func(string)) error {
	return s.do(ctx, r.Key(), report)
}

// steps returns a plan from texts of the form "role: need need".
func steps(texts ...string) *Plan {
	plan := &Plan{}
	for _, text := range texts {
		role, needs, _ := strings.Cut(text, ":")
		pool := &Pool{ResourceMeta: ResourceMeta{Name: role}}
		plan.Steps = append(plan.Steps, &Step{
			ID: role, Action: Create, Kind: KindPool, Role: role, Name: role, Needs: strings.Fields(needs), resource: pool,
		})
	}
	return plan
}

// events collects the events, as "step phase".
type events struct {
	all    []string
	inside atomic.Int32
	broken bool
}

func (e *events) add(event Event) {
	if e.inside.Add(1) != 1 {
		e.broken = true
	}
	text := event.Step.ID + " " + string(event.Phase)
	if event.Detail != "" {
		text += ": " + event.Detail
	}
	e.all = append(e.all, text)
	e.inside.Add(-1)
}

func TestRunnerKeepsTheBound(t *testing.T) {
	for _, bound := range []int{1, 3, 8} {
		t.Run(fmt.Sprint(bound), func(t *testing.T) {
			var texts []string
			for i := range 40 {
				texts = append(texts, fmt.Sprintf("s%d:", i))
			}
			synctest.Test(t, func(t *testing.T) {
				var now, most atomic.Int32
				cloud := &stub{do: func(context.Context, Key, func(string)) error {
					most.Store(max(most.Load(), now.Add(1)))
					time.Sleep(time.Second)
					now.Add(-1)
					return nil
				}}
				began := time.Now()
				summary, err := Runner{Cloud: cloud, Parallelism: bound, Events: func(Event) {}}.Run(t.Context(), steps(texts...))
				if err != nil || summary != (Summary{Done: 40}) {
					t.Errorf("%+v, %v", summary, err)
				}
				if int(most.Load()) != bound {
					t.Errorf("%d at once, want %d", most.Load(), bound)
				}
				// All slots are always used.
				if want := time.Duration((40+bound-1)/bound) * time.Second; time.Since(began) != want {
					t.Errorf("took %s, want %s", time.Since(began), want)
				}
			})
		})
	}
}

// A step that waits for others does not hold a slot. Otherwise one slot would not be
// enough.
func TestRunnerFollowsDependencies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		cloud := &stub{do: func(_ context.Context, key Key, report func(string)) error {
			report("an observation")
			time.Sleep(time.Duration(len(key.Role)) * time.Second)
			return nil
		}}
		plan := steps("bb:", "a:", "c: a", "d: c bb")
		began := time.Now()
		if _, err := (Runner{Cloud: cloud, Parallelism: 1, Events: e.add}).Run(t.Context(), plan); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %s", took)
		}
		for _, step := range plan.Steps {
			at := func(phase string) int { return slices.Index(e.all, step.ID+" "+phase) }
			if at("started") < 0 || at("waiting: an observation") != at("started")+1 || at("done") != at("started")+2 {
				t.Errorf("the events of %s are not in order: %q", step.ID, e.all)
			}
			for _, need := range step.Needs {
				if slices.Index(e.all, need+" done") > at("started") {
					t.Errorf("%s began before %s was done: %q", step.ID, need, e.all)
				}
			}
		}
		if e.broken {
			t.Error("two goroutines sent events at the same time")
		}
	})
}

// After a failure, the steps that need the failed one are skipped, and all others go on.
// The error contains all failures.
func TestRunnerGoesOnAfterFailures(t *testing.T) {
	errFirst, errSecond := errors.New("first"), errors.New("second")
	var mutex sync.Mutex
	var began []string
	cloud := &stub{do: func(_ context.Context, key Key, _ func(string)) error {
		mutex.Lock()
		began = append(began, key.Role)
		mutex.Unlock()
		switch key.Role {
		case "a":
			return errFirst
		case "x":
			return errSecond
		default:
			return nil
		}
	}}
	var e events
	summary, err := Runner{Cloud: cloud, Parallelism: 4, Events: e.add}.Run(t.Context(),
		steps("a:", "a1: a", "a2: a1", "b:", "b1: b", "ab: a1 b1", "x:", "y: b"))
	if want := (Summary{Done: 3, Failed: 2, Skipped: 3}); summary != want {
		t.Errorf("%+v, want %+v", summary, want)
	}
	if !errors.Is(err, errFirst) || !errors.Is(err, errSecond) || !strings.Contains(fmt.Sprint(err), "create pool/a (a): first") {
		t.Errorf("the error is %v", err)
	}
	slices.Sort(began)
	if diff := cmp.Diff([]string{"a", "b", "b1", "x", "y"}, began); diff != "" {
		t.Errorf("the steps that began: -want +got\n%s", diff)
	}
	for _, event := range []string{"a failed: create pool/a (a): first", "a1 skipped", "a2 skipped", "ab skipped", "y done"} {
		if !slices.Contains(e.all, event) {
			t.Errorf("no event %q in %q", event, e.all)
		}
	}
	if slices.Contains(e.all, "a1 started") {
		t.Error("there is an event that a skipped step has started")
	}
}

// When the context ends, running steps are aborted at once, and no further step begins.
func TestRunnerEndsAtOnce(t *testing.T) {
	errStop := errors.New("stopped by the test")
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancelCause(t.Context())
		defer stop(nil)
		var begun atomic.Int32
		cloud := &stub{do: func(ctx context.Context, key Key, _ func(string)) error {
			begun.Add(1)
			if key.Role == "quick" {
				return nil
			}
			<-ctx.Done()
			return context.Cause(ctx)
		}}
		time.AfterFunc(time.Minute, func() { stop(errStop) })
		began := time.Now()
		summary, err := Runner{Cloud: cloud, Parallelism: 2, Events: func(Event) {}}.Run(ctx,
			steps("quick:", "a: quick", "b: quick", "c: quick", "d: a"))
		if took := time.Since(began); took != time.Minute {
			t.Errorf("took %s", took)
		}
		if want := (Summary{Done: 1, Failed: 2, Skipped: 2}); summary != want || begun.Load() != 3 {
			t.Errorf("%+v, want %+v; %d were begun", summary, want, begun.Load())
		}
		if !errors.Is(err, errStop) {
			t.Errorf("the error is %v", err)
		}
	})
}

// A run whose context has already ended does not begin any step.
func TestRunnerDoesNotBegin(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	cloud := &stub{do: func(context.Context, Key, func(string)) error {
		t.Error("a step was begun")
		return nil
	}}
	summary, err := Runner{Cloud: cloud, Parallelism: 8, Events: func(Event) {}}.Run(ctx, steps("a:", "b:", "c: a"))
	if summary != (Summary{Skipped: 3}) || !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", summary, err)
	}
}

func TestRunnerOfNothing(t *testing.T) {
	summary, err := Runner{Cloud: &stub{}, Parallelism: 8}.Run(t.Context(), &Plan{})
	if summary != (Summary{}) || err != nil {
		t.Errorf("%+v, %v", summary, err)
	}
}
