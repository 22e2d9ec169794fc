package relay

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"egress.scw/webhook/sidecar/machines"
	"egress.scw/webhook/sidecar/metrics"
	"egress.scw/webhook/sidecar/tunnel"
)

// Bounds of the header of a CONNECT request. HAProxy's buffers hold 15 KiB. If a header is
// larger than all of a buffer, or has more than 202 fields, it cannot follow the
// compression of headers any more, and ends the connection with all tunnels of the pod.
const (
	maxTunnelHeader = 12 << 10
	maxTunnelFields = 100
	// fieldOverhead is added for each field (RFC 9113, section 6.5.2).
	fieldOverhead = 32
)

// errEnding: no tunnel is opened any more.
var errEnding = errors.New("the sidecar is ending")

// connect serves a CONNECT request.
func (r *Relay) connect(w http.ResponseWriter, request *http.Request) {
	r.open.Add(1)
	defer r.open.Done()
	ctx, cancel := context.WithCancelCause(request.Context())
	defer cancel(nil)
	stop := context.AfterFunc(r.ctx, func() { cancel(errEnding) }) //nolint:contextcheck // that of the relay ends it, too
	defer stop()
	stream, refused := r.tunnel(ctx, request.Host, request.Header)
	switch {
	case refused != nil:
		r.refuse(w, metrics.Tunnel, request.Host, *refused)
	case !opened(stream):
		stop := context.AfterFunc(ctx, func() { _ = stream.Close() })
		defer stop()
		defer func() { _ = stream.Close() }()
		r.passRefusal(w, metrics.Tunnel, request.Host, stream.Status, stream.Header)
		_, _ = io.Copy(w, stream) // the client may leave
	default:
		r.carry(w, r.count(stream))
	}
}

// tunnel opens a tunnel, or returns a refusal of the sidecar itself.
func (r *Relay) tunnel(ctx context.Context, target string, header http.Header) (*tunnel.Stream, *Refusal) {
	host, port, err := net.SplitHostPort(target)
	if err != nil || host == "" || port == "" {
		return nil, &Refusal{
			Status: http.StatusBadRequest, verdict: metrics.Failed, Reason: "the target is not HOST:PORT",
			Cure: "request CONNECT HOST:PORT; an IPv6 address is in square brackets",
		}
	}
	sent := endToEnd(header)
	r.claims(sent)
	if isTooLarge(target, sent) {
		return nil, &Refusal{
			Status: http.StatusRequestHeaderFieldsTooLarge, verdict: metrics.Failed,
			Reason: fmt.Sprintf("the header of the CONNECT request has more than %d KiB or %d fields", maxTunnelHeader>>10, maxTunnelFields),
			Cure:   "let the program send fewer fields with CONNECT: they do not reach the target",
		}
	}
	for {
		current := r.current.Load()
		if current.machines == nil {
			return nil, noMachines(current.problem)
		}
		stream, err := current.machines.Open(ctx, target, sent)
		switch {
		case err == nil:
			return stream, nil
		case errors.Is(err, machines.ErrDrained) && r.current.Load() != current:
			continue // the files changed at this moment
		}
		return nil, unreachable(err)
	}
}

// isTooLarge reports whether a header exceeds the bounds. The target is sent as the host
// too.
func isTooLarge(target string, header http.Header) bool {
	size, fields := 2*(len(target)+fieldOverhead), 0
	for name, values := range header {
		for _, value := range values {
			size += len(name) + len(value) + fieldOverhead
			fields++
		}
	}
	return size > maxTunnelHeader || fields > maxTunnelFields
}

// carry answers the request, and begins to copy. It does not wait for the end: the
// goroutine of the server holds more memory than an idle tunnel may.
func (r *Relay) carry(w http.ResponseWriter, stream *Counted) {
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = stream.Close() // the client has left
		return
	}
	if err := writeEstablished(client, stream.Header); err != nil {
		_, _ = stream.Close(), client.Close()
		return
	}
	stream.Header = nil
	// What the client sent behind the header without waiting.
	early, _ := buffered.Peek(buffered.Reader.Buffered())
	early = bytes.Clone(early)
	r.open.Go(func() {
		client := client.(*net.TCPConn)
		// The client too: it may keep a connection whose target has sent everything.
		stop := context.AfterFunc(r.ctx, func() {
			reset(client)
			_ = stream.Close()
		})
		defer stop()
		join(client, early, stream)
	})
}

// join copies data between a client and a tunnel until both have ended, each in its
// own direction, and closes them. Early data was read from the client before. A tunnel
// that is reset resets the client.
func join(client *net.TCPConn, early []byte, stream *Counted) {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if !send(client, early, stream) {
			_ = stream.Close()
			return
		}
		_ = stream.CloseWrite() // its error ends the reading too
	}()
	if _, err := stream.WriteTo(client); err != nil {
		reset(client) // which sees that data is missing
		_ = stream.Close()
	} else {
		_ = client.CloseWrite()
	}
	<-sent
	_ = client.Close()
	_ = stream.Close()
}

// reset closes the connection of a client so that it sees a reset and not an end.
func reset(client *net.TCPConn) {
	_ = client.SetLinger(0)
	_ = client.Close()
}

// send copies everything that the client sends, and reports whether it came to the end.
func send(client *net.TCPConn, early []byte, stream *Counted) bool {
	if len(early) > 0 {
		if _, err := stream.Write(early); err != nil {
			return errors.Is(err, tunnel.ErrStopped)
		}
	}
	_, err := stream.ReadFrom(client)
	return err == nil
}

// writeEstablished writes the answer to CONNECT with the proxy's own header fields.
func writeEstablished(client io.Writer, header http.Header) error {
	buffer := bufio.NewWriterSize(client, 512)
	_, _ = buffer.WriteString("HTTP/1.1 200 Connection established\r\n") // Flush returns the error
	kept := endToEnd(header)
	kept.Del("Content-Length")
	_ = kept.Write(buffer)
	_, _ = buffer.WriteString("\r\n")
	return buffer.Flush()
}
