package scaleway

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"egress.scw/bootstrap/stack"
)

// maker is how resources for one key are found, made and removed again.
type maker[R stack.Resource] struct {
	// find returns those that exist and are the set-up's own.
	find func(context.Context) ([]R, error)
	// create makes another one.
	create func(context.Context) (R, error)
	// remove removes the one that create made.
	remove func(context.Context, R) error
}

// staying are those that are not being deleted.
func (m maker[R]) staying(ctx context.Context) ([]R, error) {
	found, err := m.find(ctx)
	return slices.DeleteFunc(found, func(r R) bool { return r.Meta().Deleting }), err
}

// ensure returns the one resource for a key, and makes it if there is none. Two
// who do this at once end up with the same one: after making one, each looks
// again. The oldest stays; who made a younger one removes it, and nothing else.
//
// That both come to the same end rests on the API's order of creation: whoever
// sees no older one will never see one. (Who is the first cannot be agreed on
// by tags, say: that takes more than reading and writing.)
func ensure[R stack.Resource](ctx context.Context, c *Cloud, m maker[R]) (R, error) {
	var none R
	retry := c.backoff.begin()
	for {
		found, err := m.staying(ctx)
		if err != nil {
			return none, err
		}
		if len(found) > 0 {
			stack.SortByAge(found)
			return found[0], nil
		}
		made, err := m.create(ctx)
		if err == nil && made.Meta().ID != "" {
			return contend(ctx, m, made)
		}
		if err == nil {
			err = &uncertainError{http.MethodPost, errIncomplete}
		}
		// Whatever the API says: it may be because somebody else was faster.
		// Addresses, subnets and names of registries are there only once.
		if found, findErr := m.staying(ctx); findErr == nil && len(found) > 0 {
			stack.SortByAge(found)
			return found[0], nil
		}
		if !isUncertain(err) && !isTransient(err) {
			return none, err
		}
		if err := retry.wait(ctx, err); err != nil {
			return none, err
		}
	}
}

// contend decides between the resource that was just made and those that others
// made at the same time.
func contend[R stack.Resource](ctx context.Context, m maker[R], made R) (R, error) {
	found, err := m.staying(ctx)
	if err != nil {
		return made, err
	}
	isOurs := func(r R) bool { return r.Meta().ID == made.Meta().ID }
	if !slices.ContainsFunc(found, isOurs) { // the list lags behind
		if made.Meta().CreatedAt.IsZero() {
			return made, nil // addresses: their ages are only looked up where there are several
		}
		found = append(found, made)
	}
	stack.SortByAge(found)
	if isOurs(found[0]) {
		return made, nil
	}
	return found[0], m.remove(ctx, made)
}

// await looks at something until it is ready, and returns it then. Its status
// is told, and decides: one of ready ends the wait, one of failed is an error,
// any other passes.
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
			return value, fmt.Errorf("it is in the state %q, from which it does not come back by itself: look at it in Scaleway's console", status)
		}
		if status != last {
			report(status)
			last = status
		}
		// An eighth of the time so far: then the end is noticed at most an eighth
		// too late, however long it takes.
		pause := max(c.options.PollFirst, time.Since(began)/8)
		if err := sleep(ctx, min(pause, c.options.PollLongest)); err != nil {
			return value, fmt.Errorf("waiting until it is %s, while it is %s: %w", strings.Join(ready, " or "), status, err)
		}
	}
}

// awaitGone looks at something until it is not found any more.
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

// persist repeats something while what stands in its way passes: a neighbour
// in a transient state, a network that is not yet empty. What is not there any
// more is no error.
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
		report("in the way: " + brief(err))
		if err := retry.wait(ctx, err); err != nil {
			return err
		}
	}
}
