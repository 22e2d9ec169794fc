package main

import (
	"fmt"
	"net/http"
	"time"
)

const (
	// writeTimeout bounds the time in which a reader must take an event.
	writeTimeout = 5 * time.Second

	// keepAlive is the time after which an idle stream sends a comment, so that
	// proxies in between keep the connection, and a reader that has disappeared is
	// noticed.
	keepAlive = 15 * time.Second
)

// ServeHTTP sends the events to a page until it leaves (server-sent events).
func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s, err := h.open()
	if err != nil {
		w.Header().Set("Retry-After", "30")
		writeJSON(w, http.StatusServiceUnavailable, apiError{err.Error()})
		return
	}
	defer h.leave(s)

	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx passes events on at once
	controller := http.NewResponseController(w)
	send := func(format string, args ...any) error {
		// The server's own timeout is for the whole answer, which has no end here.
		if err := controller.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			return err
		}
		return controller.Flush()
	}
	idle := time.NewTicker(keepAlive)
	defer idle.Stop()
	for {
		select {
		case e, open := <-s:
			if !open || send("event: %s\ndata: %s\n\n", e.name, e.data) != nil {
				return
			}
		case <-idle.C:
			if send(": still here\n\n") != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}
