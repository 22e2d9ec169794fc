package tunnel

import "sync"

// buffers are of the size of the largest frame. They are held while data moves.
var buffers = sync.Pool{New: func() any { return new([maxFrame]byte) }}

func takeBuffer() *[maxFrame]byte { return buffers.Get().(*[maxFrame]byte) }

func giveBuffer(buffer *[maxFrame]byte) { buffers.Put(buffer) }

// chunk is received data in a buffer.
type chunk struct {
	buffer *[maxFrame]byte
	data   []byte // part of buffer that was not read yet
}

// queue is received data that the client has not read yet. The proxy's window bounds
// it.
type queue struct{ chunks []chunk }

// add takes the buffer with the data. Small data is moved behind other data, so that
// the queue holds at most about twice as much memory as data.
func (q *queue) add(buffer *[maxFrame]byte, data []byte) {
	if len(q.chunks) > 0 {
		last := &q.chunks[len(q.chunks)-1]
		// The room behind the last data.
		if room := cap(last.data) - len(last.data); room >= len(data) {
			last.data = append(last.data, data...)
			giveBuffer(buffer)
			return
		}
	}
	q.chunks = append(q.chunks, chunk{buffer, data})
}

// read moves data into a slice.
func (q *queue) read(into []byte) int {
	n := 0
	for n < len(into) && len(q.chunks) > 0 {
		first := &q.chunks[0]
		moved := copy(into[n:], first.data)
		first.data = first.data[moved:]
		n += moved
		if len(first.data) == 0 {
			q.drop()
		}
	}
	return n
}

// take removes the first chunk. The caller gives its buffer back.
func (q *queue) take() (chunk, bool) {
	if len(q.chunks) == 0 {
		return chunk{}, false
	}
	first := q.chunks[0]
	q.shift()
	return first, true
}

func (q *queue) drop() {
	giveBuffer(q.chunks[0].buffer)
	q.shift()
}

func (q *queue) shift() {
	q.chunks = q.chunks[1:]
	if len(q.chunks) == 0 {
		q.chunks = nil // an idle stream holds no memory for it
	}
}

// clear drops everything, and returns the number of bytes.
func (q *queue) clear() int {
	n := 0
	for len(q.chunks) > 0 {
		n += len(q.chunks[0].data)
		q.drop()
	}
	return n
}

// empty reports whether there is no data.
func (q *queue) empty() bool { return len(q.chunks) == 0 }
