package stack

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Phase is the progress of a step.
type Phase string

// The phases of a step.
const (
	Started Phase = "started"
	Waiting Phase = "waiting" // Event.Detail names the state that is waited for
	Done    Phase = "done"
	Failed  Phase = "failed"
	Skipped Phase = "skipped" // not begun: a step that it needs failed, or the run was cancelled
)

// Event reports the progress of a step.
type Event struct {
	Step   *Step
	Phase  Phase
	Detail string
	// Elapsed is the duration of the step so far.
	Elapsed time.Duration
}

// Summary counts the steps of a plan by their outcome.
type Summary struct {
	Done, Failed, Skipped int
}

// Runner carries out plans.
type Runner struct {
	Cloud Cloud
	// Parallelism bounds the number of steps that run at once; at least 1.
	Parallelism int
	// Events receives the progress. It is called by one goroutine at a time.
	Events func(Event)
	// Live waits until a machine serves its configuration, before another one is drained or
	// deleted for its replacement, and before it gets the addresses of another one. Its error
	// prevents that. Nil: a machine that has been started is not waited for.
	Live func(ctx context.Context, machine *ProxyMachine, report func(string)) error
	// Drain takes a machine out of the tenants' Services, and waits for that. Its error
	// prevents that the machine is taken away. Nil: the drained squid.conf is written, and
	// not waited for.
	Drain func(ctx context.Context, draining *Draining, report func(string)) error
}

// Run carries out a plan, in parallel along its dependencies. If a step fails, the
// steps that need it are skipped and all others go on. The error contains every
// failure. When the context ends, no further step begins, and running steps are
// aborted: the next run continues from there.
func (r Runner) Run(ctx context.Context, plan *Plan) (Summary, error) {
	e := &execution{
		runner: r, slots: semaphore.NewWeighted(int64(r.Parallelism)),
		done: make(map[string]chan struct{}, len(plan.Steps)), ok: map[string]bool{},
	}
	for _, step := range plan.Steps {
		e.done[step.ID] = make(chan struct{})
	}
	var group sync.WaitGroup
	for _, step := range plan.Steps {
		group.Go(func() {
			defer close(e.done[step.ID])
			e.run(ctx, step)
		})
	}
	group.Wait()
	if err := ctx.Err(); err != nil {
		e.errs = append(e.errs, context.Cause(ctx))
	}
	return e.summary, errors.Join(e.errs...)
}

type execution struct {
	runner Runner
	slots  *semaphore.Weighted
	done   map[string]chan struct{}

	mutex   sync.Mutex
	ok      map[string]bool
	summary Summary
	errs    []error
}

func (e *execution) run(ctx context.Context, step *Step) {
	for _, id := range step.Needs {
		<-e.done[id] // closed also when the context ends, because the step is skipped then
	}
	if !e.allDone(step.Needs) || e.slots.Acquire(ctx, 1) != nil {
		e.finish(step, Skipped, 0, nil)
		return
	}
	defer e.slots.Release(1)
	begin := time.Now()
	if ctx.Err() != nil {
		e.finish(step, Skipped, 0, nil)
		return
	}
	e.emit(Event{Step: step, Phase: Started})
	err := e.perform(ctx, step, func(detail string) {
		e.emit(Event{Step: step, Phase: Waiting, Detail: detail, Elapsed: time.Since(begin)})
	})
	if err != nil {
		e.finish(step, Failed, time.Since(begin), fmt.Errorf("%s %s (%s): %w", step.Action, Key{step.Kind, step.Role}, step.Name, err))
		return
	}
	e.finish(step, Done, time.Since(begin), nil)
}

func (e *execution) perform(ctx context.Context, step *Step, report func(string)) error {
	if err := e.awaitOthers(ctx, step, report); err != nil {
		return err
	}
	switch step.Action {
	case Create, Replace:
		return e.runner.Cloud.Create(ctx, step.resource, report)
	case Update:
		return e.runner.Cloud.Update(ctx, step.resource, step.Changes, report)
	case Delete:
		return e.runner.Cloud.Delete(ctx, step.resource, report)
	case Drain:
		return e.drain(ctx, step, report)
	default:
		return fmt.Errorf("unknown action %q", step.Action)
	}
}

// awaitOthers waits until the machines serve that a step comes after.
func (e *execution) awaitOthers(ctx context.Context, step *Step, report func(string)) error {
	if e.runner.Live == nil {
		return nil
	}
	for _, machine := range step.after {
		if err := e.runner.Live(ctx, machine, report); err != nil {
			return err
		}
	}
	return nil
}

func (e *execution) allDone(ids []string) bool {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	for _, id := range ids {
		if !e.ok[id] {
			return false
		}
	}
	return true
}

func (e *execution) finish(step *Step, phase Phase, elapsed time.Duration, err error) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	event := Event{Step: step, Phase: phase, Elapsed: elapsed}
	switch phase {
	case Done:
		e.ok[step.ID] = true
		e.summary.Done++
	case Failed:
		e.summary.Failed++
		e.errs = append(e.errs, err)
		event.Detail = err.Error()
	default:
		e.summary.Skipped++
	}
	e.runner.Events(event)
}

func (e *execution) emit(event Event) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.runner.Events(event)
}
