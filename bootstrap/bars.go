package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"egress.scw/bootstrap/stack"
)

// bars shows the finished steps as lines, a spinner for each running step below
// them, and one bar for all steps at the bottom.
type bars struct {
	run       context.Context // only to find out whether it has ended
	container *mpb.Progress
	total     *mpb.Bar
	running   map[string]*runningBar
	colours   paint
}

// runningBar is the line of a running step.
type runningBar struct {
	bar *mpb.Bar
	// detail is the condition that the step waits for. The container reads it
	// while it draws.
	detail atomic.Value // string
}

// barWidth is the width of the bar for all steps, in characters.
const barWidth = 40

func newBars(run context.Context, w io.Writer, steps int, colours paint, options ...mpb.ContainerOption) *bars {
	container := mpb.New(append([]mpb.ContainerOption{mpb.WithOutput(w)}, options...)...)
	total := container.New(int64(steps), mpb.BarStyle().Lbound("[").Filler("=").Tip(">").Padding(" ").Rbound("]"),
		mpb.BarWidth(barWidth),
		mpb.BarPriority(steps+1), // below all others
		mpb.PrependDecorators(decor.CountersNoUnit("  %d of %d steps ")),
		mpb.AppendDecorators(decor.Name(" "), decor.Elapsed(decor.ET_STYLE_GO)))
	return &bars{run: run, container: container, total: total, running: map[string]*runningBar{}, colours: colours}
}

func (b *bars) event(event stack.Event) {
	switch event.Phase {
	case stack.Started:
		b.start(event.Step)
		return
	case stack.Waiting:
		if running := b.running[event.Step.ID]; running != nil {
			running.detail.Store("waiting: " + event.Detail)
		}
		return
	case stack.Done:
		b.finish(event, green)
	case stack.Failed:
		b.finish(event, red)
	case stack.Skipped:
		b.finish(event, yellow)
	}
	b.total.Increment()
}

func (b *bars) start(step *stack.Step) {
	doing, _ := step.Words()
	running := &runningBar{}
	running.detail.Store(doing)
	running.bar = b.container.New(1, mpb.NopStyle(), mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(
			decor.Name("  "), decor.Spinner(nil),
			decor.Name(" "+stepName(step), decor.WCSyncWidthR), decor.Name("  "),
			decor.Elapsed(decor.ET_STYLE_GO, decor.WCSyncWidth),
			decor.Any(func(decor.Statistics) string {
				text, _ := running.detail.Load().(string)
				return "  " + text
			})))
	b.running[step.ID] = running
}

// finish writes a line above the bars and removes the spinner of the step.
func (b *bars) finish(event stack.Event, colour string) {
	fmt.Fprintf(b.container, "  %s: %s\n", stepName(event.Step), b.colours.in(colour, phaseText(b.run, event)))
	if running := b.running[event.Step.ID]; running != nil {
		running.bar.Abort(true)
		delete(b.running, event.Step.ID)
	}
}

func (b *bars) close() {
	b.total.Abort(false) // in case some steps were not counted
	b.container.Wait()
}
