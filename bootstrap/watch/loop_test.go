package watch

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// passes runs a Loop for a time, and returns the times of its passes. Each takes a
// second. Results after the last one are Unchanged.
func passes(t *testing.T, lasts time.Duration, results []Result, changes ...time.Duration) []time.Duration {
	t.Helper()
	var at []time.Duration
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), lasts)
		defer cancel()
		begin, changed := time.Now(), make(chan struct{}, 1)
		for _, change := range changes {
			time.AfterFunc(change, func() {
				select {
				case changed <- struct{}{}:
				default:
				}
			})
		}
		Loop{Interval: time.Minute, Changed: changed, Pass: func(context.Context) Result {
			at = append(at, time.Since(begin))
			time.Sleep(time.Second)
			if n := len(at) - 1; n < len(results) {
				return results[n]
			}
			return Unchanged
		}}.Run(ctx)
		time.Sleep(lasts) // until the changes are over
	})
	return at
}

func TestLoop(t *testing.T) {
	t.Parallel()
	const s, ms = time.Second, time.Millisecond
	for name, c := range map[string]struct {
		results []Result
		changes []time.Duration
		want    []time.Duration
	}{
		"nothing happens":             {want: []time.Duration{0, 61 * s, 122 * s}},
		"a change":                    {changes: []time.Duration{10 * s}, want: []time.Duration{0, 10*s + quiet, 71*s + quiet, 132*s + quiet}},
		"a change within a pass":      {changes: []time.Duration{500 * ms}, want: []time.Duration{0, s + quiet, 62*s + quiet, 123*s + quiet}},
		"three changes at a time":     {changes: []time.Duration{10 * s, 10*s + 300*ms, 10*s + 600*ms}, want: []time.Duration{0, 10*s + 600*ms + quiet, 71*s + 600*ms + quiet, 132*s + 600*ms + quiet}},
		"blocked plans keep the pace": {results: []Result{Blocked, Blocked, Blocked}, want: []time.Duration{0, 61 * s, 122 * s}},
		"failures":                    {results: []Result{Failed, Failed, Failed}, want: []time.Duration{0, 6 * s, 17 * s, 38 * s, 99 * s}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := passes(t, 140*s, c.results, c.changes...); !slices.Equal(got, c.want) {
				t.Errorf("passes at %v, want %v", got, c.want)
			}
		})
	}
}

// Tenants that change all the time delay a pass, but not for ever, and failures do not
// make more of them.
func TestLoopIsBounded(t *testing.T) {
	t.Parallel()
	var changes []time.Duration
	for at := time.Duration(0); at < time.Minute; at += 200 * time.Millisecond {
		changes = append(changes, at)
	}
	failing := slices.Repeat([]Result{Failed}, 100)
	if got := passes(t, time.Minute, failing, changes...); len(got) < 14 || len(got) > 16 {
		t.Errorf("%d passes in a minute: %v", len(got), got)
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	if got := pause(time.Minute, 1000); got != MaxPause {
		t.Errorf("%s after a thousand failures", got)
	}
	if got := pause(time.Hour, 1000); got != time.Hour {
		t.Errorf("%s after a thousand failures, with an interval of an hour", got)
	}
}
