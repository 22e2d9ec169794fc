package scaleway

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// lastingError reports a resource that stays in a status without a way out.
type lastingError struct{ status string }

func (e *lastingError) Error() string {
	return fmt.Sprintf("it is in the state %q, and stays there: inspect it in Scaleway's console", e.status)
}

// await observes a resource until it is ready, and returns it. It reports each
// status. A status in ready ends the wait. A status in failed is a *lastingError if
// it lasts for Options.Settle: some failures pass by themselves, such as the one that
// a gateway reports during an upgrade. All others are transient.
func await[T any](ctx context.Context, c *Cloud, report func(string), get func(context.Context) (T, string, error), ready, failed []string) (T, error) {
	began, last, since := time.Now(), "", time.Time{}
	for {
		value, status, err := get(ctx)
		switch {
		case err != nil:
			return value, err
		case slices.Contains(ready, status):
			return value, nil
		case status == last && slices.Contains(failed, status) && time.Since(since) >= c.options.Settle:
			return value, &lastingError{status}
		}
		if status != last {
			report(status)
			last, since = status, time.Now()
		}
		// An eighth of the time so far. So the end of the wait is noticed at most
		// an eighth too late, however long it takes.
		pause := max(c.options.PollFirst, time.Since(began)/8)
		if err := Sleep(ctx, min(pause, c.options.PollLongest)); err != nil {
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
