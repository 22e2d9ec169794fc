package scaleway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// backoff bounds the number of attempts and the waits between them.
type backoff struct {
	first, longest time.Duration
	tries          int
}

// retries is one sequence of attempts.
type retries struct {
	backoff
	began time.Time
	next  time.Duration
	tried int
}

func (b backoff) begin() *retries {
	return &retries{backoff: b, began: time.Now(), next: b.first}
}

// wait waits before the next attempt, each time about twice as long. It returns an
// error after the last attempt, and when the context ends.
func (r *retries) wait(ctx context.Context, problem error) error {
	if err := r.check(0, problem); err != nil {
		return err
	}
	return Sleep(ctx, r.pause())
}

// check counts an attempt that failed. It returns an error after the last attempt: when
// their number is reached, or the limit would be before the next one. Limit 0 is none.
func (r *retries) check(limit time.Duration, problem error) error {
	r.tried++
	took := time.Since(r.began)
	if r.tried >= r.tries || limit > 0 && took+r.next >= limit {
		return fmt.Errorf("given up after %d tries in %s: %w", r.tried, took.Round(time.Second), problem)
	}
	return nil
}

// pause returns the length of the next wait: a random part between a half and all
// of it, so that two runs that failed together do not try again together.
func (r *retries) pause() time.Duration {
	pause := r.next/2 + rand.N(r.next/2+1) //nolint:gosec // spreads retries, protects nothing
	r.next = min(2*r.next, r.longest)
	return pause
}

// Sleep waits for a duration. Its error is the cause of the end of the context.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
