package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"egress.scw/bootstrap/stack"
)

// progress shows how a plan is carried out.
type progress interface {
	// event is called by one goroutine at a time.
	event(stack.Event)
	// close is called once, after the last event.
	close()
}

// newProgress shows bars to people at a terminal, and lines to everybody else.
func (p *program) newProgress(ctx context.Context, steps int) progress {
	if p.terminals.stderr && p.getenv("TERM") != "dumb" {
		return newBars(ctx, p.stderr, steps, p.painter(true))
	}
	return newLines(ctx, p.stderr)
}

// lines writes a line for each event, with the seconds since the beginning.
type lines struct {
	run   context.Context // asked whether it has ended, no more
	w     io.Writer
	begin time.Time
	// said is what was last said of each step that waits.
	said map[string]saying
}

type saying struct {
	detail string
	at     time.Time
}

// repeatAfter is when a step that still waits for the same thing says so once
// more: often enough for the watchdogs of CI systems, which end what is silent
// for minutes.
const repeatAfter = 30 * time.Second

func newLines(run context.Context, w io.Writer) *lines {
	return &lines{run: run, w: w, begin: time.Now(), said: map[string]saying{}}
}

func (l *lines) event(event stack.Event) {
	now := time.Now()
	if event.Phase == stack.Waiting {
		// Whoever waits reports each time it looks.
		last := l.said[event.Step.ID]
		if last.detail == event.Detail && now.Sub(last.at) < repeatAfter {
			return
		}
		l.said[event.Step.ID] = saying{event.Detail, now}
	}
	fmt.Fprintf(l.w, "%6.1fs  %s: %s\n", now.Sub(l.begin).Seconds(), stepName(event.Step), happening(l.run, event))
}

func (*lines) close() {}

// stepName is what a step is about.
func stepName(step *stack.Step) string {
	return keyText(step.Kind, step.Role, step.ResourceID) + " " + step.Name
}

// happening says what has become of a step of a run.
func happening(run context.Context, event stack.Event) string {
	doing, done := event.Step.Words()
	switch event.Phase {
	case stack.Started:
		return doing
	case stack.Waiting:
		return "waiting: " + event.Detail
	case stack.Done:
		return done + " " + seconds(event.Elapsed)
	case stack.Failed:
		if run.Err() != nil && strings.Contains(event.Detail, context.Cause(run).Error()) {
			return "broken off " + seconds(event.Elapsed)
		}
		return "failed " + seconds(event.Elapsed) + ": " + event.Detail
	case stack.Skipped:
		return "not begun"
	}
	return string(event.Phase)
}

func seconds(d time.Duration) string { return fmt.Sprintf("(%.1fs)", d.Seconds()) }
