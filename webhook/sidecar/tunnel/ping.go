package tunnel

import (
	"context"
	"encoding/binary"
	"time"

	"golang.org/x/net/http2"
)

// deadAfter is the time of silence after which a connection with open tunnels is given
// up, although a ping was sent each third of it.
const deadAfter = 45 * time.Second

// Ping asks the machine for a sign of life. The bound is the context's.
func (c *Conn) Ping(ctx context.Context) error {
	answered := make(chan struct{})
	c.mu.Lock()
	c.lastPing++
	var data [8]byte
	binary.BigEndian.PutUint64(data[:], c.lastPing)
	c.pings[data] = answered
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.pings, data)
		c.mu.Unlock()
	}()
	// Not by this goroutine, which would wait for a machine that does not read.
	c.writer.writeLater(func(w *writer) error { return w.frames.WritePing(false, data) })
	select {
	case <-answered:
		return nil
	case <-c.ended:
		return c.Err()
	case <-ctx.Done():
		return ErrSilent
	}
}

// ponged answers a ping, or ends the waiting for an answer.
func (c *Conn) ponged(frame *http2.PingFrame) {
	if !frame.IsAck() {
		data := frame.Data
		c.writer.writeLater(func(w *writer) error { return w.frames.WritePing(true, data) })
		return
	}
	c.mu.Lock()
	answered := c.pings[frame.Data]
	delete(c.pings, frame.Data)
	c.mu.Unlock()
	if answered != nil {
		close(answered)
	}
}

// silence is the time since the last frame.
func (c *Conn) silence() time.Duration {
	return time.Since(c.began) - time.Duration(c.lastRead.Load())
}

// Watch closes the connection when the machine is dead: a machine that lost its
// power ends no connection. It returns when the connection has ended.
func (c *Conn) Watch() {
	ticker := time.NewTicker(deadAfter / 3)
	defer ticker.Stop()
	for {
		select {
		case <-c.ended:
			return
		case <-ticker.C:
		}
		switch silence := c.silence(); {
		case c.Streams() == 0 || silence < deadAfter/3:
		case silence >= deadAfter:
			c.fail(ErrSilent)
		default:
			ctx, cancel := context.WithTimeout(context.Background(), deadAfter/3)
			_ = c.Ping(ctx)
			cancel()
		}
	}
}
