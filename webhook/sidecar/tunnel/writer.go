package tunnel

import (
	"bytes"
	"io"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// maxPending is the number of bytes that wait to be written, beyond which senders
	// of data wait.
	maxPending = 64 << 10
	// maxBatches is the number of writes after which a sender stops to write for
	// others.
	maxBatches = 4
)

// writer writes frames. The first of several senders writes; the frames of the
// others are collected meanwhile and written together.
type writer struct {
	net net.Conn

	mu       sync.Mutex
	taken    sync.Cond // signalled when pending has been taken
	pending  []byte
	spare    []byte // the batch that was written last
	flushing bool
	err      error
	frames   *http2.Framer  // appends to pending
	headers  *hpack.Encoder // appends to block
	block    bytes.Buffer
}

func newWriter(connection net.Conn) *writer {
	w := &writer{net: connection}
	w.taken.L = &w.mu
	w.frames = http2.NewFramer(pendingWriter{w}, nil)
	w.headers = hpack.NewEncoder(&w.block)
	return w
}

type pendingWriter struct{ *writer }

func (w pendingWriter) Write(data []byte) (int, error) {
	w.pending = append(w.pending, data...)
	return len(data), nil
}

var _ io.Writer = pendingWriter{}

// write adds frames, and writes them unless another goroutine is writing. The
// function holds the lock.
func (w *writer) write(add func(*writer) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.add(add); err != nil {
		return err
	}
	w.flush()
	return w.err
}

// writeData is write for data: it waits while too much is pending.
func (w *writer) writeData(id uint32, end bool, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.pending) >= maxPending && w.err == nil {
		w.taken.Wait()
	}
	if err := w.add(func(w *writer) error { return w.frames.WriteData(id, end, data) }); err != nil {
		return err
	}
	w.flush()
	return w.err
}

// writeLater is write for the goroutine that reads, which must not wait for the
// proxy to read.
func (w *writer) writeLater(add func(*writer) error) {
	_ = w.addLater(add) // the connection has ended
}

// addLater adds frames, and leaves it to another goroutine to write them. The error is
// that of the function, or of an earlier writing.
func (w *writer) addLater(add func(*writer) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.add(add)
	if err == nil && !w.flushing {
		go w.flushNow()
	}
	return err
}

func (w *writer) add(add func(*writer) error) error {
	if w.err != nil {
		return w.err
	}
	return add(w)
}

func (w *writer) flushNow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
}

// flush writes what is pending. The lock is held, but not while it writes.
func (w *writer) flush() {
	if w.flushing {
		return
	}
	w.flushing = true
	for batches := 0; len(w.pending) > 0 && w.err == nil; batches++ {
		if batches == maxBatches {
			go w.flushNow() // the sender's own tunnel waits otherwise
			break
		}
		batch := w.pending
		w.pending, w.spare = w.spare[:0], nil
		w.taken.Broadcast()
		w.mu.Unlock()
		_, err := w.net.Write(batch)
		w.mu.Lock()
		w.spare = batch
		if err != nil {
			w.err = err
			w.taken.Broadcast()
			_ = w.net.Close() // which ends the goroutine that reads, and with it the connection
		}
	}
	w.flushing = false
}
