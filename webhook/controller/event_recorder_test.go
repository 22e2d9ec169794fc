package controller

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	eventsv1 "k8s.io/api/events/v1"
)

// TestEventsDoNotTakeTheAPIServer: however many events there are, only a few are
// written at the same time, and all of them in the end.
func TestEventsDoNotTakeTheAPIServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := &slowSink{}
		sink := newPacedSink(slow)
		write := map[int]func(context.Context) (*eventsv1.Event, error){
			0: func(ctx context.Context) (*eventsv1.Event, error) { return sink.Create(ctx, &eventsv1.Event{}) },
			1: func(ctx context.Context) (*eventsv1.Event, error) { return sink.Update(ctx, &eventsv1.Event{}) },
			2: func(ctx context.Context) (*eventsv1.Event, error) { return sink.Patch(ctx, &eventsv1.Event{}, nil) },
		}
		for i := range 300 {
			go func() { _, _ = write[i%len(write)](t.Context()) }()
		}
		synctest.Wait()
		if got := slow.inFlight.Load(); got != eventsInFlight {
			t.Errorf("%d events are written at the same time, want %d", got, eventsInFlight)
		}
		time.Sleep(time.Hour)
		if got := slow.written.Load(); got != 300 {
			t.Errorf("%d of 300 events are written", got)
		}

		// Events that wait end with the process.
		ctx, cancel := context.WithCancel(t.Context())
		for range eventsInFlight {
			go func() { _, _ = sink.Create(t.Context(), &eventsv1.Event{}) }()
		}
		synctest.Wait()
		cancel()
		if _, err := sink.Create(ctx, &eventsv1.Event{}); err == nil {
			t.Error("an event was written after the end of the process")
		}
		time.Sleep(time.Hour)
	})
}

// slowSink takes a second for each event.
type slowSink struct{ inFlight, written atomic.Int32 }

func (s *slowSink) write(event *eventsv1.Event) (*eventsv1.Event, error) {
	s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	time.Sleep(time.Second)
	s.written.Add(1)
	return event, nil
}

func (s *slowSink) Create(_ context.Context, event *eventsv1.Event) (*eventsv1.Event, error) {
	return s.write(event)
}

func (s *slowSink) Update(_ context.Context, event *eventsv1.Event) (*eventsv1.Event, error) {
	return s.write(event)
}

func (s *slowSink) Patch(_ context.Context, event *eventsv1.Event, _ []byte) (*eventsv1.Event, error) {
	return s.write(event)
}
