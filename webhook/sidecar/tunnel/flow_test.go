package tunnel

import (
	"net"
	"testing"
)

// taker is a machine that takes every byte.
type taker struct{ net.Conn }

func (taker) Write(data []byte) (int, error) { return len(data), nil }

// TestWindowGrows: the window grows while the client keeps up, within the bounds of one
// tunnel and of all together.
func TestWindowGrows(t *testing.T) {
	t.Parallel()
	c := &Conn{writer: newWriter(taker{}), streams: map[uint32]*Stream{}}
	c.sendable.L = &c.mu
	add := func(id uint32) *Stream {
		s := newStream(c, "a.example:443")
		s.id = id
		c.streams[id] = s
		return s
	}
	consume := func(s *Stream, total int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for range total / maxFrame {
			s.consume(maxFrame)
		}
	}

	slow := add(1)
	buffer := takeBuffer()
	slow.received.add(buffer, buffer[:1])
	consume(slow, 4*largestWindow)
	if slow.granted != streamWindow {
		t.Errorf("the window of a client that has data left: %d bytes", slow.granted)
	}

	fast := add(3)
	for id := uint32(5); id < 50; id += 2 {
		consume(add(id), streamWindow/4)
	}
	if c.grown != 0 {
		t.Errorf("little data has grown windows by %d bytes", c.grown)
	}
	consume(fast, 4*largestWindow)
	if fast.granted != largestWindow {
		t.Errorf("the window of a client that keeps up: %d bytes", fast.granted)
	}
	for _, s := range c.streams {
		if s != slow {
			consume(s, 4*largestWindow)
		}
	}
	sum := 0
	for _, s := range c.streams {
		sum += s.granted - streamWindow
	}
	if sum != maxGrown || c.grown != maxGrown {
		t.Errorf("all windows have grown by %d bytes, by their count %d, want %d", sum, c.grown, maxGrown)
	}
	for id := range c.streams {
		c.remove(id)
		c.remove(id) // by both sides
	}
	if c.grown != 0 {
		t.Errorf("%d bytes are left of ended tunnels", c.grown)
	}
}
