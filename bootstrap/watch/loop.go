package watch

import (
	"context"
	"time"
)

// Result is the result of a pass: of one plan and its execution.
type Result string

// The results of a pass.
const (
	Unchanged Result = "unchanged" // there was nothing to do
	Applied   Result = "applied"
	Blocked   Result = "blocked" // a step is not permitted
	Failed    Result = "failed"
)

func results() []Result { return []Result{Unchanged, Applied, Blocked, Failed} }

const (
	// quiet is the time without a further change of an EgressTenant after which a pass
	// begins: kubectl apply of a folder of tenants is one change.
	quiet = 500 * time.Millisecond
	// maxQuiet bounds it.
	maxQuiet = 3 * time.Second
	// firstPause is the time to the pass after a failed one. It doubles with each
	// failure.
	firstPause = 5 * time.Second
	// MaxPause bounds it.
	MaxPause = 5 * time.Minute
)

// Loop makes passes until its context ends.
type Loop struct {
	// Interval is the time between the end of a pass and the next one.
	Interval time.Duration
	// Changed receives a value after each change of an EgressTenant, which ends the
	// pause before the next pass.
	Changed <-chan struct{}
	// Pass is called by one goroutine.
	Pass func(context.Context) Result
}

// Run makes the first pass at once.
func (l Loop) Run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		if l.Pass(ctx) == Failed {
			failures++
		} else {
			failures = 0
		}
		l.rest(ctx, pause(l.Interval, failures))
	}
}

// pause is the time to the next pass after a number of failures in a row.
func pause(interval time.Duration, failures int) time.Duration {
	if failures == 0 {
		return interval
	}
	longest := max(interval, MaxPause)
	wait := firstPause
	for range failures - 1 {
		if wait *= 2; wait >= longest {
			return longest
		}
	}
	return wait
}

// rest waits for the end of a pause, or until tenants have changed and are quiet again.
func (l Loop) rest(ctx context.Context, pause time.Duration) {
	next := time.NewTimer(pause)
	defer next.Stop()
	select {
	case <-ctx.Done():
		return
	case <-next.C:
		return
	case <-l.Changed:
	}
	last := time.NewTimer(maxQuiet)
	defer last.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-last.C:
			return
		case <-time.After(quiet):
			return
		case <-l.Changed:
		}
	}
}
