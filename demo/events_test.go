package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// nextEvent reads an event of a stream, and decodes its data strictly.
func nextEvent(t *testing.T, stream *bufio.Reader, wantName string, into any) {
	t.Helper()
	var name, data string
	for {
		line, err := stream.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended before %q: %v", wantName, err)
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "event":
			name = value
		case "data":
			data = value
		case "":
			if name != "" {
				decoder := json.NewDecoder(strings.NewReader(data))
				decoder.DisallowUnknownFields()
				if name != wantName || decoder.Decode(into) != nil {
					t.Fatalf("event %q: %s, want %q", name, data, wantName)
				}
				return
			}
		}
	}
}

// openStream opens the stream of events of a demo.
func openStream(t *testing.T, base string) *bufio.Reader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/api/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := new(http.Transport).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("stream: %s, %v", res.Status, res.Header)
	}
	return bufio.NewReader(res.Body)
}

// TestEvents runs checks while a page looks on, and opens a page afterwards.
func TestEvents(t *testing.T) {
	internet := httptest.NewServer(httpbin())
	defer internet.Close()
	proxy := startProxy(t, internet.Listener.Addr().String())
	proxy.deniedPort, proxy.denied = "8443", http.StatusBadGateway
	h := newHub(newMetrics())
	checks := newRunner(testChecker(t, "http://echo.example.com", internet, proxy.url), maxChecksPerMinute, h, slog.New(slog.DiscardHandler))
	demo := httptest.NewServer(newHandler(readEnvironment(pathProxy, variables(nil)), checks, account{}))
	defer demo.Close()
	defer h.stop()

	stream := openStream(t, demo.URL)
	var first snapshot
	nextEvent(t, stream, eventSnapshot, &first)
	if diff := cmp.Diff(snapshot{Results: []result{}, Denials: []recordedDenial{}}, first, cmp.AllowUnexported(recordedDenial{})); diff != "" {
		t.Errorf("snapshot of a demo that has run no check (-want +got):\n%s", diff)
	}

	var failed, denied result
	call(t, http.MethodPost, demo.URL+"/api/checks/json", http.StatusOK, &failed)
	proxy.denied = 0
	call(t, http.MethodPost, demo.URL+"/api/checks/denied", http.StatusOK, &denied)

	type step struct {
		Check   string `json:"check"`
		Run     uint64 `json:"run"`
		Attempt int    `json:"attempt"`
		Of      int    `json:"of"`
		Summary string `json:"summary"`
		RetryIn int64  `json:"retryInMs"`
	}
	summary := "502 Bad Gateway came through the proxy, not the expected 200 OK."
	for _, want := range []struct {
		name string
		step step
	}{
		{eventStarted, step{Check: "json", Run: 1}},
		{eventRetry, step{"json", 1, 1, 3, summary, 1}},
		{eventRetry, step{"json", 1, 2, 3, summary, 1}},
	} {
		var got step
		nextEvent(t, stream, want.name, &got)
		if got != want.step {
			t.Errorf("%s: %+v, want %+v", want.name, got, want.step)
		}
	}
	var got result
	nextEvent(t, stream, eventResult, &got)
	if diff := cmp.Diff(failed, got); diff != "" {
		t.Errorf("result (-answer +event):\n%s", diff)
	}
	var begin step
	nextEvent(t, stream, eventStarted, &begin)
	nextEvent(t, stream, eventResult, &got)
	if diff := cmp.Diff(denied, got); diff != "" {
		t.Errorf("result (-answer +event):\n%s", diff)
	}
	var refusal recordedDenial
	nextEvent(t, stream, eventDenial, &refusal)
	if refusal.Check != "denied" || refusal.Run != 2 || refusal.Rule != "port" || time.Since(refusal.Time) > time.Minute {
		t.Errorf("denial %+v", refusal)
	}

	var later snapshot
	nextEvent(t, openStream(t, demo.URL), eventSnapshot, &later)
	if len(later.Results) != 2 || later.Results[0].Check != "json" || len(later.Denials) != 1 || !later.Denials[0].Time.Equal(refusal.Time) {
		t.Errorf("snapshot after two checks: %+v", later)
	}
}

// TestStreamsAreBounded opens more streams than the demo admits.
func TestStreamsAreBounded(t *testing.T) {
	h := newHub(newMetrics())
	demo := httptest.NewServer(h)
	defer demo.Close()
	defer h.stop()
	var streams []stream
	for range maxStreams {
		s, err := h.open()
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	var refusal apiError
	call(t, http.MethodGet, demo.URL, http.StatusServiceUnavailable, &refusal)
	if want := (apiError{"too many pages receive live updates"}); refusal != want {
		t.Errorf("refusal %+v, want %+v", refusal, want)
	}
	h.leave(streams[0])
	h.leave(streams[0]) // a stream may be left twice
	if s, err := h.open(); err != nil {
		t.Errorf("after a page has left: %v", err)
	} else {
		h.leave(s)
	}
	h.stop()
	if _, err := h.open(); !errors.Is(err, errStopping) {
		t.Errorf("a stopped demo opens a stream: %v", err)
	}
}

// TestSlowReaderIsDropped: events are not kept for a page that does not read, and do not
// wait for it.
func TestSlowReaderIsDropped(t *testing.T) {
	m := newMetrics()
	h := newHub(m)
	slow, err := h.open()
	if err != nil {
		t.Fatal(err)
	}
	fast, err := h.open()
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(streamBuffer + 1) {
		h.started(started{Check: "json", Run: i})
		<-fast
	}
	received := 0
	for range slow {
		received++
	}
	if received != streamBuffer {
		t.Errorf("%d events were kept for a page that does not read, want %d", received, streamBuffer)
	}
	if got := values(t, m); got["egress_demo_event_streams"] != 1 || got["egress_demo_dropped_event_streams_total"] != 1 {
		t.Errorf("metrics: %v", got)
	}
}

// TestDenialsAreBounded keeps the newest denials, and the snapshots as they were.
func TestDenialsAreBounded(t *testing.T) {
	h := newHub(newMetrics())
	deny := func(run uint64) {
		h.finished(result{Check: "denied", Run: run, Denial: &denial{Rule: "port"}}, time.Now())
	}
	deny(1)
	kept := h.denials
	for run := uint64(2); run <= maxDenials+5; run++ {
		deny(run)
	}
	if len(h.denials) != maxDenials || h.denials[0].Run != maxDenials+5 || h.denials[maxDenials-1].Run != 6 {
		t.Errorf("%d denials, from run %d to run %d", len(h.denials), h.denials[0].Run, h.denials[len(h.denials)-1].Run)
	}
	if len(kept) != 1 || kept[0].Run != 1 {
		t.Errorf("an earlier snapshot changed: %+v", kept)
	}
	h.finished(result{Check: "denied", Run: 3}, time.Now())
	if got := h.latest["denied"].Run; got != maxDenials+5 {
		t.Errorf("the latest result is that of run %d: an older run replaced it", got)
	}
}

// TestReaderThatStopsReading: a connection whose buffers are full ends by the write
// timeout, and its stream with it.
func TestReaderThatStopsReading(t *testing.T) {
	m := newMetrics()
	h := newHub(m)
	demo := httptest.NewServer(h)
	defer demo.Close()
	defer h.stop()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", demo.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: demo\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	large := result{Check: "json", Body: strings.Repeat("a", 256<<10)}
	for deadline := time.Now().Add(time.Minute); values(t, m)["egress_demo_dropped_event_streams_total"] == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the stream of a page that does not read stays open")
		}
		h.finished(large, time.Now())
		time.Sleep(5 * time.Millisecond)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.stop()
		demo.CloseClientConnections()
	}()
	<-done
}

// TestStreamOutlivesTheServersTimeouts: the timeouts of an answer do not end a stream.
func TestStreamOutlivesTheServersTimeouts(t *testing.T) {
	h := newHub(newMetrics())
	demo := httptest.NewUnstartedServer(h)
	const timeout = 5 * time.Second // within which a busy machine, too, sends and reads the request
	demo.Config.ReadTimeout, demo.Config.WriteTimeout = timeout, timeout
	demo.Start()
	defer demo.Close()
	defer h.stop()
	stream := openStream(t, demo.URL)
	var first snapshot
	nextEvent(t, stream, eventSnapshot, &first)
	time.Sleep(timeout + timeout/2)
	h.started(started{Check: "json", Run: 1})
	var got started
	nextEvent(t, stream, eventStarted, &got)
	if got.Run != 1 {
		t.Errorf("event %+v", got)
	}
}
