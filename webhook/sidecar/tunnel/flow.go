package tunnel

import "golang.org/x/net/http2"

// reserve waits until the proxy's windows permit data of the stream, and returns how
// much of it, at most as much as wanted.
func (c *Conn) reserve(s *Stream, wanted int) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if s.sendErr != nil {
			return 0, s.sendErr
		}
		if n := min(int64(wanted), s.window, c.window); n > 0 {
			s.window -= n
			c.window -= n
			return int(n), nil
		}
		c.sendable.Wait()
	}
}

// addWindow takes a WINDOW_UPDATE, of the connection if the number is 0.
func (c *Conn) addWindow(id uint32, increment int64) error {
	const largest = 1<<31 - 1
	c.mu.Lock()
	defer c.mu.Unlock()
	if id == 0 {
		c.window += increment
		if c.window > largest {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
	} else if s := c.streams[id]; s != nil {
		s.window += increment
		if s.window > largest {
			return http2.StreamError{StreamID: id, Code: http2.ErrCodeFlowControl}
		}
	}
	c.sendable.Broadcast()
	return nil
}

// grow doubles the window of a stream within the bounds, and returns the bytes that the
// proxy may send in addition.
func (c *Conn) grow(s *Stream) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	more := min(s.granted, largestWindow-s.granted, maxGrown-c.grown)
	s.granted += more
	c.grown += more
	return more
}

// refund lets the proxy send as many bytes more on the connection, in steps of a
// quarter of its window. It returns the window of the stream, if there is one.
func (c *Conn) refund(s *Stream, n int) int {
	c.mu.Lock()
	granted := 0
	if s != nil {
		granted = s.granted
	}
	c.consumed += int64(n)
	increment := uint32(c.consumed) //nolint:gosec // at most the window
	due := c.consumed >= connWindow/4
	if due {
		c.consumed = 0
	}
	c.mu.Unlock()
	if due {
		c.writer.writeLater(func(w *writer) error { return w.frames.WriteWindowUpdate(0, increment) })
	}
	return granted
}

// endSending ends the data of a stream's client. It reports whether it had ended
// before.
func (c *Conn) endSending(s *Stream, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := s.sendErr != nil
	if !before {
		s.sendErr = err
	}
	c.sendable.Broadcast()
	return before
}

// forgetEnded forgets a stream that has ended on both sides.
func (c *Conn) forgetEnded(s *Stream) {
	c.mu.Lock()
	over := s.sendErr != nil && s.receivedAll
	c.mu.Unlock()
	if over {
		c.remove(s.id)
	}
}
