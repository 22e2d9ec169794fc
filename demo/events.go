package main

import (
	"encoding/json"
	"errors"
	"sync"
	"time"
)

const (
	// maxStreams bounds the open streams of events: each costs a connection and
	// some memory, and anybody may open one.
	maxStreams = 32

	// streamBuffer is the number of events that wait for a slow reader before it
	// is dropped. A press of "Run all" yields some 20.
	streamBuffer = 64

	// maxDenials bounds the denials that are kept for pages that are opened
	// later.
	maxDenials = 20
)

// Reasons why a stream does not open.
var (
	errTooManyStreams = errors.New("too many pages receive live updates")
	errStopping       = errors.New("the demo is stopping")
)

// event is a message to the open pages.
type event struct {
	name string
	data []byte // JSON, which has no line breaks
}

// Names of events.
const (
	eventSnapshot = "snapshot" // data: snapshot
	eventStarted  = "started"  // data: started
	eventRetry    = "retry"    // data: retrying
	eventResult   = "result"   // data: result
	eventDenial   = "denial"   // data: recordedDenial
)

// started is the begin of a check.
type started struct {
	Check string `json:"check"`
	Run   uint64 `json:"run"`
}

// retrying is an attempt without success, and the check that it belongs to.
type retrying struct {
	started
	attempt
}

// recordedDenial is a denial with its time and check.
type recordedDenial struct {
	Time time.Time `json:"time"`
	started
	denial
}

// snapshot is the first event of a stream: the latest result of each check, and the
// latest denials, the newest first.
type snapshot struct {
	Results []result         `json:"results"`
	Denials []recordedDenial `json:"denials"`
}

// stream receives the events of a page. The hub closes the channel if the reader is
// too slow, and when the demo stops.
type stream chan event

// hub passes events to the open pages. It never waits for one of them.
type hub struct {
	metrics *metrics

	mu      sync.Mutex
	stopped bool
	streams map[stream]struct{}
	latest  map[string]result
	denials []recordedDenial // the newest first
}

func newHub(m *metrics) *hub {
	return &hub{metrics: m, streams: map[stream]struct{}{}, latest: map[string]result{}}
}

// open returns a stream whose first event is a snapshot, or errTooManyStreams or
// errStopping. The caller closes the stream by leave.
func (h *hub) open() (stream, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopped:
		return nil, errStopping
	case len(h.streams) >= maxStreams:
		return nil, errTooManyStreams
	}
	first := snapshot{Results: []result{}, Denials: h.denials}
	for _, name := range checkNames(pathProxy) {
		if r, ran := h.latest[name]; ran {
			first.Results = append(first.Results, r)
		}
	}
	if first.Denials == nil {
		first.Denials = []recordedDenial{}
	}
	s := make(stream, streamBuffer)
	h.streams[s] = struct{}{}
	h.metrics.streams.Set(float64(len(h.streams)))
	s <- newEvent(eventSnapshot, first)
	return s, nil
}

// leave ends a stream, also one that the hub has closed.
func (h *hub) leave(s stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remove(s)
}

// remove closes a stream. The caller holds the lock.
func (h *hub) remove(s stream) {
	if _, open := h.streams[s]; !open {
		return
	}
	delete(h.streams, s)
	close(s)
	h.metrics.streams.Set(float64(len(h.streams)))
}

// stop ends all streams, and lets no further one open.
func (h *hub) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	for s := range h.streams {
		h.remove(s)
	}
}

func (h *hub) started(s started) { h.publish(eventStarted, s, func() {}) }

func (h *hub) retrying(r retrying) { h.publish(eventRetry, r, func() {}) }

// finished publishes a result, and the denial in it.
func (h *hub) finished(r result, at time.Time) {
	h.publish(eventResult, r, func() {
		if r.Run > h.latest[r.Check].Run {
			h.latest[r.Check] = r
		}
	})
	if r.Denial == nil {
		return
	}
	d := recordedDenial{Time: at, started: started{Check: r.Check, Run: r.Run}, denial: *r.Denial}
	h.publish(eventDenial, d, func() {
		// A slice of its own: snapshots keep the former one.
		h.denials = append([]recordedDenial{d}, h.denials[:min(len(h.denials), maxDenials-1)]...)
	})
}

// publish records a change and sends it to every stream. A stream whose buffer is
// full is dropped: its page opens another one, and begins with a snapshot.
func (h *hub) publish(name string, value any, record func()) {
	e := newEvent(name, value)
	h.mu.Lock()
	defer h.mu.Unlock()
	record()
	for s := range h.streams {
		select {
		case s <- e:
		default:
			h.remove(s)
			h.metrics.droppedStreams.Inc()
		}
	}
}

func newEvent(name string, value any) event {
	data, err := json.Marshal(value)
	if err != nil {
		panic("events are plain structs: " + err.Error()) // cannot happen
	}
	return event{name: name, data: data}
}
