package relay

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"

	"egress.scw/webhook/sidecar/machines"
	"egress.scw/webhook/sidecar/metrics"
	"egress.scw/webhook/sidecar/tunnel"
)

// connect serves a CONNECT request.
func (r *Relay) connect(w http.ResponseWriter, request *http.Request) {
	r.open.Add(1)
	defer r.open.Done()
	stream, refused := r.tunnel(request.Context(), request.Host, request.Header)
	switch {
	case refused != nil:
		r.refuse(w, metrics.Tunnel, request.Host, *refused)
	case !opened(stream):
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

// carry answers the request and copies data until both sides have ended.
func (r *Relay) carry(w http.ResponseWriter, stream *Counted) {
	defer func() { _ = stream.Close() }()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // the client has left
	}
	defer func() { _ = client.Close() }()
	tcp := client.(*net.TCPConn)
	if err := writeEstablished(tcp, stream.Header); err != nil {
		return
	}
	// What the client sent behind the header without waiting.
	if n := buffered.Reader.Buffered(); n > 0 {
		early, _ := buffered.Peek(n)
		if _, err := stream.Write(early); err != nil {
			return
		}
	}
	stop := context.AfterFunc(r.ctx, func() { _ = stream.Close() })
	defer stop()
	join(tcp, stream)
}

// join copies data between a client and a tunnel until both have ended, each in its
// own direction, and closes them. A tunnel that is reset resets the client.
func join(client *net.TCPConn, stream *Counted) {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if _, err := stream.ReadFrom(client); err != nil {
			_ = stream.Close()
			return
		}
		_ = stream.CloseWrite() // its error ends the reading too
	}()
	if _, err := stream.WriteTo(client); err != nil {
		_ = client.SetLinger(0) // a reset: the client sees that data is missing
		_ = client.Close()
		_ = stream.Close()
	} else {
		_ = client.CloseWrite()
	}
	<-sent
	_ = client.Close()
	_ = stream.Close()
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
