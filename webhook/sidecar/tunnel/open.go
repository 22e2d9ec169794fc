package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Open sends a CONNECT request for a host and port, with further header fields, and
// returns the stream when the proxy has answered. The status may be any: a stream
// whose status is not 2xx holds the body of the answer.
//
// While the proxy does not answer, it must send any frame within the patience when it is
// asked to: the answer itself may take as long as the target does.
//
// It returns ErrFull, ErrUnusable or ErrSilent if the request can be sent again on
// another connection.
func (c *Conn) Open(ctx context.Context, target string, header http.Header, patience time.Duration) (*Stream, error) {
	s := newStream(c, target)
	// Not by this goroutine: a machine that lost its power takes no bytes.
	err := c.writer.addLater(func(w *writer) error {
		if err := c.enter(s); err != nil {
			return err
		}
		w.block.Reset()
		w.field(":method", http.MethodConnect)
		w.field(":authority", target)
		for name, values := range header {
			for _, value := range values {
				w.field(strings.ToLower(name), value)
			}
		}
		return w.writeHeaders(s.id)
	})
	if err != nil {
		c.remove(s.id) // 0, if it has none
		if errors.Is(err, ErrFull) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	if err := c.await(ctx, s, patience); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// enter gives the stream its number. Streams must be opened in the order of their
// numbers: the caller holds the writer's lock.
func (c *Conn) enter(s *Stream) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.err
	case c.leaving || c.nextID > maxStreamID:
		c.leaving = true
		return ErrUnusable
	case uint32(len(c.streams)) >= c.maxStreams: //nolint:gosec // at most maxStreamID
		return ErrFull
	}
	s.id = c.nextID
	s.window = c.initialWindow
	c.nextID += 2
	c.streams[s.id] = s
	return nil
}

// await returns when the proxy has answered. While it does not, pings show whether
// the machine is there.
func (c *Conn) await(ctx context.Context, s *Stream, patience time.Duration) error {
	timer := time.NewTimer(patience / 2)
	defer timer.Stop()
	asked := false
	last := c.lastRead.Load()
	for {
		select {
		case <-s.answered:
			return s.openError()
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
		switch now := c.lastRead.Load(); {
		case now != last:
			last, asked = now, false
		case asked:
			return ErrSilent
		default:
			asked = true
			c.writer.writeLater(func(w *writer) error { return w.frames.WritePing(false, [8]byte{}) })
		}
		timer.Reset(patience / 2)
	}
}

func (w *writer) field(name, value string) {
	_ = w.headers.WriteField(hpack.HeaderField{Name: name, Value: value}) // to a buffer
}

// writeHeaders writes the block as frames of a stream.
func (w *writer) writeHeaders(id uint32) error {
	block := w.block.Bytes()
	first := block[:min(len(block), maxFrame)]
	block = block[len(first):]
	err := w.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndHeaders: len(block) == 0})
	for len(block) > 0 && err == nil {
		part := block[:min(len(block), maxFrame)]
		block = block[len(part):]
		err = w.frames.WriteContinuation(id, len(block) == 0, part)
	}
	return err
}

// answer takes the header of the proxy's answer, or its trailers, which have no
// meaning in a tunnel.
func (s *Stream) answer(frame *http2.MetaHeadersFrame) error {
	status, err := strconv.Atoi(frame.PseudoValue("status"))
	header := http.Header{}
	for _, field := range frame.RegularFields() {
		header.Add(field.Name, field.Value)
	}
	s.mu.Lock()
	trailers := s.isAnswered
	valid := err == nil && status >= 100 && status <= 999 && !frame.Truncated
	if valid && status >= 200 && !trailers {
		s.Status, s.Header = status, header
		s.isAnswered = true
		close(s.answered)
	}
	s.mu.Unlock()
	if !valid && !trailers {
		return http2.StreamError{StreamID: s.id, Code: http2.ErrCodeProtocol}
	}
	if frame.StreamEnded() {
		s.endReading(io.EOF)
	}
	return nil
}
