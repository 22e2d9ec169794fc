package relay

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"egress.scw/webhook/sidecar/metrics"
	"egress.scw/webhook/sidecar/tunnel"
)

// Counted is an open tunnel that the metrics count. It is in them until it is closed.
type Counted struct {
	*tunnel.Stream
	metrics *metrics.Metrics
	once    sync.Once
}

// count counts a tunnel that the proxy has opened.
func (r *Relay) count(stream *tunnel.Stream) *Counted {
	r.metrics.Count(metrics.Tunnel, metrics.Passed)
	r.metrics.Tunnels.Add(1)
	return &Counted{Stream: stream, metrics: r.metrics}
}

// Close closes the tunnel.
func (c *Counted) Close() error {
	c.once.Do(func() { c.metrics.Tunnels.Add(-1) })
	return c.Stream.Close()
}

// Write writes to the tunnel.
func (c *Counted) Write(data []byte) (int, error) {
	n, err := c.Stream.Write(data)
	c.metrics.SentBytes.Add(int64(n))
	return n, err
}

// Read reads from the tunnel.
func (c *Counted) Read(into []byte) (int, error) {
	n, err := c.Stream.Read(into)
	c.metrics.ReceivedBytes.Add(int64(n))
	return n, err
}

// ReadFrom copies everything that a client sends into the tunnel (io.ReaderFrom). It
// returns no error if the target reads no more and has sent everything: the client may
// read the rest.
func (c *Counted) ReadFrom(client io.Reader) (int64, error) {
	n, err := c.Stream.ReadFrom(client)
	c.metrics.SentBytes.Add(n)
	if errors.Is(err, tunnel.ErrStopped) {
		err = nil
	}
	return n, err
}

// WriteTo copies everything that the tunnel receives to a client (io.WriterTo).
func (c *Counted) WriteTo(client io.Writer) (int64, error) {
	n, err := c.Stream.WriteTo(client)
	c.metrics.ReceivedBytes.Add(n)
	return n, err
}

// Tunnel opens a tunnel for a captured connection. A refusal has been counted, and is
// logged by the caller.
func (r *Relay) Tunnel(ctx context.Context, host string, port uint16) (*Counted, *Refusal) {
	stream, refused := r.tunnel(ctx, joinHostPort(host, port), http.Header{})
	if refused == nil && !opened(stream) {
		_ = stream.Close()
		refused = explain(stream.Status, stream.Header)
	}
	if refused != nil {
		r.metrics.Count(metrics.Tunnel, refused.verdict)
		return nil, refused
	}
	return r.count(stream), nil
}

// opened reports whether the proxy has opened the tunnel.
func opened(stream *tunnel.Stream) bool { return stream.Status >= 200 && stream.Status <= 299 }
