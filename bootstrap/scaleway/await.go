package scaleway

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// await observes a resource until it is ready, and returns it. It reports each
// status. A status in ready ends the wait, a status in failed is an error, all
// others are transient.
func await[T any](ctx context.Context, c *Cloud, report func(string), get func(context.Context) (T, string, error), ready, failed []string) (T, error) {
	began, last := time.Now(), ""
	for {
		value, status, err := get(ctx)
		switch {
		case err != nil:
			return value, err
		case slices.Contains(ready, status):
			return value, nil
		case slices.Contains(failed, status):
			return value, fmt.Errorf("it is in state %q, which is final: inspect it in Scaleway's console", status)
		}
		if status != last {
			report(status)
			last = status
		}
		// An eighth of the time so far. So the end of the wait is noticed at most
		// an eighth too late, however long it takes.
		pause := max(c.options.PollFirst, time.Since(began)/8)
		if err := sleep(ctx, min(pause, c.options.PollLongest)); err != nil {
			return value, fmt.Errorf("waiting until it is %s, while it is %s: %w", strings.Join(ready, " or "), status, err)
		}
	}
}

// awaitGone observes a resource until it does not exist any more.
func awaitGone(ctx context.Context, c *Cloud, report func(string), get func(context.Context) (status string, err error), failed ...string) error {
	const gone = "gone"
	_, err := await(ctx, c, report, func(ctx context.Context) (struct{}, string, error) {
		status, err := get(ctx)
		if isNotFound(err) {
			return struct{}{}, gone, nil
		}
		return struct{}{}, status, err
	}, []string{gone}, failed)
	return err
}

// persist repeats a request while its obstacle is transient: a neighbour in a
// transient state, a network that is not empty yet. It is not an error if the
// resource does not exist any more.
func (c *Cloud) persist(ctx context.Context, report func(string), do func(context.Context) error) error {
	retry := c.backoff.begin()
	for {
		err := do(ctx)
		if err == nil || isNotFound(err) {
			return nil
		}
		if !isTransient(err) && !isUncertain(err) && !isInUse(err) {
			return err
		}
		report("blocked: " + brief(err))
		if err := retry.wait(ctx, err); err != nil {
			return err
		}
	}
}
