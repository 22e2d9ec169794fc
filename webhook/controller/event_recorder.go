package controller

import (
	"context"
	"fmt"

	eventsv1 "k8s.io/api/events/v1"
	eventsclient "k8s.io/client-go/kubernetes/typed/events/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"

	"egress.scw/webhook/api/names"
)

// eventsInFlight is the number of events that are written at the same time. It is
// small beside concurrentNamespaces: a change of 1,000 namespaces writes as many
// policies and as many events, and the policies must not wait for the events.
const eventsInFlight = 2

// NewEventRecorder returns the recorder of the controllers' events, until the
// context ends. The manager's own recorder writes all events at once.
func NewEventRecorder(ctx context.Context, manager ctrl.Manager) (events.EventRecorder, error) {
	api, err := eventsclient.NewForConfigAndClient(manager.GetConfig(), manager.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("making the client of events: %w", err)
	}
	broadcaster := events.NewBroadcaster(newPacedSink(&events.EventSinkImpl{Interface: api}))
	if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
		return nil, fmt.Errorf("starting to record events: %w", err)
	}
	return broadcaster.NewRecorder(manager.GetScheme(), names.FieldOwner), nil
}

// pacedSink writes eventsInFlight events at a time. The others wait.
type pacedSink struct {
	sink events.EventSink
	turn chan struct{}
}

func newPacedSink(sink events.EventSink) pacedSink {
	return pacedSink{sink, make(chan struct{}, eventsInFlight)}
}

func (s pacedSink) Create(ctx context.Context, event *eventsv1.Event) (*eventsv1.Event, error) {
	return s.inTurn(ctx, func() (*eventsv1.Event, error) { return s.sink.Create(ctx, event) })
}

func (s pacedSink) Update(ctx context.Context, event *eventsv1.Event) (*eventsv1.Event, error) {
	return s.inTurn(ctx, func() (*eventsv1.Event, error) { return s.sink.Update(ctx, event) })
}

func (s pacedSink) Patch(ctx context.Context, event *eventsv1.Event, data []byte) (*eventsv1.Event, error) {
	return s.inTurn(ctx, func() (*eventsv1.Event, error) { return s.sink.Patch(ctx, event, data) })
}

func (s pacedSink) inTurn(ctx context.Context, write func() (*eventsv1.Event, error)) (*eventsv1.Event, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.turn }()
	return write()
}
