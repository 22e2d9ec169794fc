package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"egress.scw/bootstrap/stack"
)

// progress shows the execution of a plan.
type progress interface {
	// event is called by one goroutine at a time.
	event(stack.Event)
	// close is called once, after the last event.
	close()
}

// newProgress returns bars for terminals, and lines for all other outputs.
func (p *program) newProgress(ctx context.Context, steps int) progress {
	if p.terminals.stderr && p.getenv("TERM") != "dumb" {
		return newBars(ctx, p.stderr, steps, p.painter(true))
	}
	return newLines(ctx, p.stderr)
}

// lines writes a line for each event, with the seconds since the start of the
// run.
type lines struct {
	run   context.Context // only to find out whether it has ended
	w     io.Writer
	begin time.Time
	// reported is the last line about each waiting step.
	reported map[string]waitLine
}

type waitLine struct {
	detail string
	at     time.Time
}

// repeatAfter is the time after which the line of a waiting step is repeated.
// CI systems end jobs that print nothing for minutes.
const repeatAfter = 30 * time.Second

func newLines(run context.Context, w io.Writer) *lines {
	return &lines{run: run, w: w, begin: time.Now(), reported: map[string]waitLine{}}
}

func (l *lines) event(event stack.Event) {
	now := time.Now()
	if event.Phase == stack.Waiting {
		// A waiting step sends an event each time it polls.
		last := l.reported[event.Step.ID]
		if last.detail == event.Detail && now.Sub(last.at) < repeatAfter {
			return
		}
		l.reported[event.Step.ID] = waitLine{event.Detail, now}
	}
	fmt.Fprintf(l.w, "%6.1fs  %s: %s\n", now.Sub(l.begin).Seconds(), stepName(event.Step), phaseText(l.run, event))
}

func (*lines) close() {}

// stepName names the resource of a step.
func stepName(step *stack.Step) string {
	return keyText(step.Kind, step.Role, step.ResourceID) + " " + step.Name
}

// phaseText describes the phase of a step.
func phaseText(run context.Context, event stack.Event) string {
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
			return "cancelled " + seconds(event.Elapsed)
		}
		return "failed " + seconds(event.Elapsed) + ": " + event.Detail
	case stack.Skipped:
		return "not started"
	}
	return string(event.Phase)
}

func seconds(d time.Duration) string { return fmt.Sprintf("(%.1fs)", d.Seconds()) }
