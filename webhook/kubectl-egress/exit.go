package main

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Exit codes.
const (
	exitDone        = 0
	exitNegative    = 1   // the answer is negative: denied, uncovered, a finding
	exitFailed      = 2   // there is no answer
	exitInterrupted = 130 // the convention of shells for Ctrl-C
)

// errNegative is the result of a command whose answer is negative. The answer has been
// printed.
var errNegative = errors.New("the answer is negative")

// exitCode prints the error and returns the exit code. After an interruption it prints only
// that a pod remains.
func exitCode(ctx context.Context, w io.Writer, err error) int {
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errNegative):
		return exitNegative
	case ctx.Err() == nil, errors.Is(err, errNotDeleted):
		fmt.Fprintln(w, "Error:", err)
	}
	if ctx.Err() != nil {
		return exitInterrupted
	}
	return exitFailed
}
