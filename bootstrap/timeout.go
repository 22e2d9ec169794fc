package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// unfinished is the error of a run that a signal or --timeout cancelled.
type unfinished struct {
	// timeout is the value of --timeout if that ended the run, and 0 after a
	// signal.
	timeout time.Duration
	// failures are the other errors of the run, or nil.
	failures error
}

func (u *unfinished) Error() string {
	cause := "interrupted"
	if u.timeout > 0 {
		cause = fmt.Sprintf("not finished within %s (--timeout)", u.timeout)
	}
	return cause + ": run the same command again to continue"
}

// bounded runs a command under --timeout. If its context ended, the error of the
// command becomes an *unfinished.
func (p *program) bounded(work func(context.Context) error) func(*cobra.Command, []string) error {
	return func(command *cobra.Command, _ []string) error {
		outer := command.Context()
		ctx, cancel := outer, context.CancelFunc(func() {})
		if p.options.timeout > 0 {
			ctx, cancel = context.WithTimeout(outer, p.options.timeout)
		}
		defer cancel()
		err := work(ctx)
		if err == nil || errors.Is(err, errChanges) || ctx.Err() == nil {
			return err
		}
		end := &unfinished{failures: otherFailures(ctx, err)}
		if outer.Err() == nil {
			end.timeout = p.options.timeout
		}
		return end
	}
}

// otherFailures returns the errors that are not caused by the end of the context.
func otherFailures(ctx context.Context, err error) error {
	var others []error
	for _, leaf := range leaves(err) {
		if errors.Is(leaf, context.Canceled) || errors.Is(leaf, context.DeadlineExceeded) || errors.Is(leaf, context.Cause(ctx)) {
			continue
		}
		others = append(others, leaf)
	}
	return errors.Join(others...)
}
