package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// burst is the number of checks and retries that may begin at once: two presses of
// "Run all", and some retries.
const burst = 20

// runner runs checks within the rate limit, and reports them to the open pages, the
// metrics and the log.
type runner struct {
	checks  *checker
	hub     *hub
	limiter *rate.Limiter
	metrics *metrics
	logger  *slog.Logger
	runs    atomic.Uint64
}

func newRunner(checks *checker, checksPerMinute int, h *hub, logger *slog.Logger) *runner {
	return &runner{
		checks: checks, hub: h, metrics: h.metrics, logger: logger,
		limiter: rate.NewLimiter(rate.Limit(float64(checksPerMinute)/60), burst),
	}
}

// unknownCheckError is returned for a name that is not that of a check.
type unknownCheckError struct {
	name  string
	known []string
}

func (e *unknownCheckError) Error() string {
	return fmt.Sprintf("unknown check %q; the checks are: %s", e.name, strings.Join(e.known, ", "))
}

// rateLimitError is returned for a check that the rate limit refuses.
type rateLimitError struct{ retryAfter time.Duration }

func (e *rateLimitError) Error() string {
	return fmt.Sprintf("too many checks: try again in %s", e.retryAfter)
}

// run runs the named check. It fails with an unknownCheckError or a rateLimitError. A
// check that has begun ends by its own timeouts, also if its client leaves: other pages
// wait for the result.
func (r *runner) run(ctx context.Context, name string) (result, error) {
	if known := r.checks.names(); !slices.Contains(known, name) {
		return result{}, &unknownCheckError{name: name, known: known}
	}
	if wait := r.take(); wait > 0 {
		r.metrics.rateLimited.Inc()
		return result{}, &rateLimitError{retryAfter: wait}
	}
	id := started{Check: name, Run: r.runs.Add(1)}
	r.hub.started(id)
	res := r.checks.run(context.WithoutCancel(ctx), name, func(a attempt) bool {
		if r.take() > 0 {
			return false
		}
		r.metrics.retries.WithLabelValues(name).Inc()
		r.hub.retrying(retrying{started: id, attempt: a})
		return true
	})
	res.Run = id.Run
	r.report(res)
	return res, nil
}

// take takes a permit to send a request. If there is none it returns the time until the
// next one, in whole seconds. It reserves no permit of the future: of several reservations
// that are cancelled at the same time, the limiter gets only the last one back, so that a
// burst of refused clients would lock out all others for hours.
func (r *runner) take() time.Duration {
	if r.limiter.Allow() {
		return 0
	}
	missing := max(0, 1-r.limiter.Tokens())
	delay := time.Duration(missing / float64(r.limiter.Limit()) * float64(time.Second))
	return delay.Truncate(time.Second) + time.Second
}

func (r *runner) report(res result) {
	r.metrics.checks.WithLabelValues(res.Check, string(res.Outcome)).Inc()
	r.metrics.duration.WithLabelValues(res.Check).Observe(float64(res.DurationMS) / 1000)
	attributes := []any{
		"check", res.Check, "outcome", res.Outcome, "url", res.URL, "via", res.Via,
		"status", res.Status, "attempts", res.Attempts, "durationMs", res.DurationMS, "error", res.Error,
	}
	if res.Denial != nil {
		r.metrics.denials.WithLabelValues(res.Check).Inc()
		attributes = append(attributes, "rule", res.Denial.Rule)
	}
	r.logger.Info("check", attributes...)
	r.hub.finished(res, time.Now().UTC())
}
