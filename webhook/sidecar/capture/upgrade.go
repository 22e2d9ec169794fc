package capture

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// upgrade serves a request for another protocol, such as WebSocket, in a tunnel. The
// answer and all that follows are copied as they are.
func (w *web) upgrade(response http.ResponseWriter, r *http.Request, name string) {
	if !r.ProtoAtLeast(1, 1) || r.ContentLength != 0 {
		http.Error(response, "A request that changes the protocol must be of HTTP/1.1 and have no body.", http.StatusBadRequest)
		return
	}
	stream, err := w.capture.tunnel(w.capture.tunnels, name, w.port)
	if err != nil {
		status := http.StatusBadGateway
		if refusal, ok := errors.AsType[*Refusal](err); ok {
			status = refusal.Status
		}
		http.Error(response, fmt.Sprintf("The egress sidecar has no tunnel for the request: %v.", err), status)
		return
	}
	r.Host = name
	if _, found := r.Header["User-Agent"]; !found {
		r.Header.Set("User-Agent", "") // else Write adds Go's
	}
	hijacked, buffered, err := http.NewResponseController(response).Hijack()
	conn, ok := hijacked.(*connection)
	if err != nil || !ok {
		_ = stream.Close()
		panic(http.ErrAbortHandler)
	}
	_ = conn.SetDeadline(time.Time{})
	early, _ := buffered.Peek(buffered.Reader.Buffered()) // at most what there is
	if err = r.Write(stream); err == nil {
		_, err = stream.Write(early)
	}
	if err != nil {
		conn.reset()
		_ = stream.Close()
		return
	}
	join(w.capture.tunnels, conn, stream)
}
