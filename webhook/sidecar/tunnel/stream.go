package tunnel

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// Stream is a tunnel. It is a net.Conn without deadlines. Each end may be closed
// without the other one (CloseWrite).
type Stream struct {
	// Status is the status of the proxy's answer, and Header its header.
	Status int
	Header http.Header

	conn   *Conn
	id     uint32
	target string
	// answered is closed by the answer, or by an end without one.
	answered chan struct{}

	// Of conn.mu, which may be locked while mu is, and not the other way round.
	window      int64 // for sending
	sendErr     error // not nil: nothing can be sent
	receivedAll bool  // readErr is not nil
	granted     int   // the window for receiving

	mu         sync.Mutex
	readable   sync.Cond
	received   queue
	sink       *sink // to which the goroutine that reads writes
	draining   bool  // WriteTo is writing
	sent       int64 // bytes that were written to the sink
	consumed   int   // received bytes that were not refunded yet
	readErr    error // behind the received data
	isAnswered bool
}

func newStream(c *Conn, target string) *Stream {
	s := &Stream{conn: c, target: target, answered: make(chan struct{}), granted: streamWindow}
	s.readable.L = &s.mu
	return s
}

// openError is the reason for which the stream ended before the answer.
func (s *Stream) openError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Status == 0 {
		return s.readErr
	}
	return nil
}

// Read implements net.Conn.
func (s *Stream) Read(into []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.received.empty() && s.readErr == nil {
		s.readable.Wait()
	}
	n := s.received.read(into)
	s.consume(n)
	if n == 0 && len(into) > 0 {
		return 0, s.readErr
	}
	return n, nil
}

// receive takes a DATA frame. The length is that of the frame with its padding.
func (s *Stream) receive(buffer *[maxFrame]byte, data []byte, length int, end bool) error {
	s.mu.Lock()
	s.consume(length - len(data))
	switch {
	case s.readErr != nil: // it was closed here
		giveBuffer(buffer)
		s.consume(len(data))
	case len(data) == 0:
		giveBuffer(buffer)
	default:
		written := 0
		if s.sink != nil && s.received.empty() && !s.draining {
			written = s.sink.try(data)
			s.sent += int64(written)
			s.consume(written)
		}
		if written == len(data) {
			giveBuffer(buffer)
		} else {
			s.received.add(buffer, data[written:])
			s.readable.Signal()
		}
	}
	s.mu.Unlock()
	if end {
		s.endReading(io.EOF)
	}
	return nil
}

// consume lets the proxy send as many bytes more, in steps of half a window. The
// window grows while the client takes all of the data.
func (s *Stream) consume(n int) {
	if n == 0 {
		return
	}
	granted := s.conn.refund(s, n)
	s.consumed += n
	if s.consumed >= granted/2 && s.readErr == nil {
		if s.received.empty() {
			s.consumed += s.conn.grow(s)
		}
		increment := uint32(s.consumed) //nolint:gosec // at most the window
		s.consumed = 0
		s.conn.writer.writeLater(func(w *writer) error { return w.frames.WriteWindowUpdate(s.id, increment) })
	}
}

// Write implements net.Conn.
func (s *Stream) Write(data []byte) (int, error) {
	written := 0
	for written < len(data) {
		n, err := s.conn.reserve(s, min(len(data)-written, maxFrame))
		if err != nil {
			return written, err
		}
		if err := s.conn.writer.writeData(s.id, false, data[written:written+n]); err != nil {
			return written, err
		}
		written += n
	}
	return written, nil
}

// CloseWrite ends the data of this side. The other side may go on.
func (s *Stream) CloseWrite() error {
	if s.conn.endSending(s, io.ErrClosedPipe) {
		return nil
	}
	err := s.conn.writer.write(func(w *writer) error { return w.frames.WriteData(s.id, true, nil) })
	s.conn.forgetEnded(s)
	return err
}

// Close ends the tunnel. If either side has not ended its data, the proxy resets the
// connection to the target.
func (s *Stream) Close() error {
	s.reset(http2.ErrCodeCancel, net.ErrClosed)
	return nil
}

// reset ends the stream here and at the proxy.
func (s *Stream) reset(code http2.ErrCode, err error) {
	if s.conn.stream(s.id) == s { // has not ended on both sides
		s.conn.writer.writeLater(func(w *writer) error { return w.frames.WriteRSTStream(s.id, code) })
	}
	s.abort(err)
	s.mu.Lock()
	if !s.received.empty() {
		s.readErr = err // not a clean end: data is missing
	}
	s.consume(s.received.clear())
	s.mu.Unlock()
}

// wasReset ends the stream because the proxy did.
func (s *Stream) wasReset(code http2.ErrCode) {
	switch {
	case code == http2.ErrCodeRefusedStream:
		s.abort(ErrUnusable)
	case s.receivedEnd():
		s.conn.endSending(s, ErrStopped)
		s.conn.forgetEnded(s)
	default:
		s.abort(fmt.Errorf("%w (%s)", errReset, code))
	}
}

func (s *Stream) receivedEnd() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Is(s.readErr, io.EOF)
}

var (
	// ErrStopped is the error of sending to a target that has sent all of its data, and
	// reads no more. The received data is complete.
	ErrStopped = errors.New("the target reads no more")
	// errReset is the end of a tunnel whose connection to the target was reset.
	errReset = errors.New("the proxy reset the tunnel")
)

// abort ends both sides with an error, each unless it has ended. Data that was
// received can still be read.
func (s *Stream) abort(err error) {
	s.conn.endSending(s, err)
	s.endReading(err)
}

// endReading ends the received data, unless it has ended. Without an answer, it ends
// the waiting for one.
func (s *Stream) endReading(err error) {
	s.mu.Lock()
	if s.readErr == nil {
		s.readErr = err
	}
	if !s.isAnswered {
		s.isAnswered = true
		close(s.answered)
	}
	s.readable.Broadcast()
	s.conn.mu.Lock()
	s.receivedAll = true
	s.conn.mu.Unlock()
	s.mu.Unlock()
	s.conn.forgetEnded(s)
}

type address string

func (address) Network() string  { return "tunnel" }
func (a address) String() string { return string(a) }

// LocalAddr returns the address of the connection to the machine.
func (s *Stream) LocalAddr() net.Addr { return s.conn.net.LocalAddr() }

// RemoteAddr returns the host and port of the request.
func (s *Stream) RemoteAddr() net.Addr { return address(s.target) }

// SetDeadline returns an error: streams have no deadlines.
func (s *Stream) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SetReadDeadline returns an error: streams have no deadlines.
func (s *Stream) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetWriteDeadline returns an error: streams have no deadlines.
func (s *Stream) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
