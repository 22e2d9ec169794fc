package tunnel

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// Bounds of a connection.
const (
	// streamWindow is the number of bytes that a proxy may send before the client of
	// the tunnel has read them: 64 MB/s at a round trip of 2 ms, which is the longest
	// between zones of a region.
	streamWindow = 128 << 10
	// largestWindow is that number for a client that has taken everything at once until
	// now. With streamWindow, the machine and the sidecar wait for each other so often
	// that a byte costs both of them a third more CPU time.
	largestWindow = 512 << 10
	// maxGrown bounds the windows of all such clients beyond streamWindow, together.
	maxGrown = 2 << 20
	// connWindow is the number of bytes of all tunnels together: maxGrown, and 48
	// clients that do not read. It bounds the memory.
	connWindow = 8 << 20
	// maxFrame is the size of the largest frame in both directions, the least that
	// RFC 9113 permits.
	maxFrame = 16 << 10
	// maxHeader is the size of the largest header of an answer.
	maxHeader = 64 << 10
	// maxStreamID is the last number of a stream (RFC 9113, section 5.1.1).
	maxStreamID = math.MaxInt32
)

// Errors of Open. In each case the proxy has not opened the tunnel, or will not
// keep it: the request can be sent again.
var (
	// ErrFull: the proxy permits no further stream on this connection.
	ErrFull = errors.New("the connection has all streams that the proxy permits")
	// ErrUnusable: the connection has ended or is about to end.
	ErrUnusable = errors.New("the connection is closed")
	// ErrSilent: the proxy did not answer a ping in time.
	ErrSilent = errors.New("the machine did not answer in time")
)

// Conn is an HTTP/2 connection to a proxy. Its methods may be called at the same
// time.
type Conn struct {
	net    net.Conn
	reader *bufio.Reader
	frames *http2.Framer // for the goroutine that reads
	writer *writer
	// lastRead is the time of the last frame, in nanoseconds since the connection began.
	lastRead atomic.Int64
	began    time.Time
	settled  chan struct{} // closed by the proxy's first SETTINGS
	ended    chan struct{} // closed by the end of the connection

	// mu may be locked while writer.mu or the mu of a stream is, and not the other way
	// round.
	mu            sync.Mutex
	sendable      sync.Cond // signalled when a stream may send more, or has ended
	streams       map[uint32]*Stream
	nextID        uint32
	maxStreams    uint32
	initialWindow int64 // of the streams' windows for sending
	window        int64 // for sending, of all streams together
	consumed      int64 // received bytes that were not refunded yet
	grown         int   // the streams' windows for receiving, beyond streamWindow
	pings         map[[8]byte]chan struct{}
	lastPing      uint64
	leaving       bool // no further streams
	err           error
}

// New begins HTTP/2 on an encrypted connection, which it owns from then on. It
// returns when the proxy has answered. Only then has the proxy accepted the client's
// certificate.
func New(ctx context.Context, connection net.Conn) (*Conn, error) {
	c := &Conn{
		net: connection, reader: bufio.NewReaderSize(connection, maxFrame), writer: newWriter(connection),
		began: time.Now(), settled: make(chan struct{}), ended: make(chan struct{}),
		streams: map[uint32]*Stream{}, nextID: 1, maxStreams: math.MaxUint32, initialWindow: 65535, window: 65535,
		pings: map[[8]byte]chan struct{}{},
	}
	c.sendable.L = &c.mu
	c.frames = newFramer(c.reader)
	err := c.writer.write(func(w *writer) error {
		w.pending = append(w.pending, http2.ClientPreface...)
		return errors.Join(
			w.frames.WriteSettings(
				http2.Setting{ID: http2.SettingEnablePush, Val: 0},
				http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow},
				http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHeader},
			),
			w.frames.WriteWindowUpdate(0, connWindow-65535),
		)
	})
	if err != nil {
		_ = connection.Close()
		return nil, err
	}
	go c.readLoop()
	select {
	case <-c.settled:
		return c, nil
	case <-c.ended:
		return nil, c.Err()
	case <-ctx.Done():
		c.fail(ErrSilent)
		return nil, fmt.Errorf("waiting for the machine's first frame: %w", context.Cause(ctx))
	}
}

// Err returns the reason for which the connection ended, or nil.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Usable reports whether the connection takes further streams, apart from their
// number.
func (c *Conn) Usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err == nil && !c.leaving
}

// Streams returns the number of open streams.
func (c *Conn) Streams() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.streams)
}

// Drain refuses further streams, and closes the connection when the open ones have
// ended.
func (c *Conn) Drain() {
	c.mu.Lock()
	c.leaving = true
	empty := len(c.streams) == 0
	c.mu.Unlock()
	if empty {
		c.fail(ErrUnusable)
	}
}

// Close ends the connection and every stream.
func (c *Conn) Close() { c.fail(ErrUnusable) }

// fail ends the connection and its streams with an error. The first one counts.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	c.leaving = true
	streams := c.streams
	c.streams = map[uint32]*Stream{}
	c.sendable.Broadcast()
	c.mu.Unlock()
	close(c.ended)
	_ = c.net.Close()
	for _, s := range streams {
		s.abort(fmt.Errorf("%w: %w", ErrUnusable, err))
	}
}

// remove forgets a stream that has ended.
func (c *Conn) remove(id uint32) {
	c.mu.Lock()
	if s := c.streams[id]; s != nil {
		c.grown -= s.granted - streamWindow
		delete(c.streams, id)
	}
	last := c.leaving && len(c.streams) == 0 && c.err == nil
	c.sendable.Broadcast()
	c.mu.Unlock()
	if last {
		c.fail(ErrUnusable)
	}
}

func (c *Conn) stream(id uint32) *Stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams[id]
}
