package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"egress.scw/bootstrap/config/strictyaml"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitChanges     = 2   // of the command plan: there is something to do
	exitInterrupted = 130 // the convention of shells for Ctrl-C
)

// errChanges is the result of the command plan if there is something to do.
var errChanges = errors.New("there is something to do")

// exitCode prints all errors and returns the exit code.
func exitCode(w io.Writer, err error) int {
	if err == nil {
		return exitDone
	}
	if errors.Is(err, errChanges) {
		return exitChanges
	}
	end, cancelled := errors.AsType[*unfinished](err)
	if cancelled {
		err = end.failures
	}
	for _, message := range messages(err) {
		fmt.Fprintln(w, "Error:", strings.TrimRight(message, "\n"))
	}
	switch {
	case !cancelled:
		return exitFailed
	case end.timeout > 0:
		fmt.Fprintln(w, "Error:", end)
		return exitFailed
	default:
		fmt.Fprintln(w, end)
		return exitInterrupted
	}
}

// messages returns one message for each single error.
func messages(err error) []string {
	var texts []string
	for _, leaf := range leaves(err) {
		if file, ok := errors.AsType[*strictyaml.Error](leaf); ok {
			texts = append(texts, strings.Split(file.Error(), "\n")...)
			continue
		}
		texts = append(texts, leaf.Error())
	}
	return texts
}

// leaves returns the single errors that errors.Join has joined.
func leaves(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, part := range joined.Unwrap() {
		all = append(all, leaves(part)...)
	}
	return all
}
