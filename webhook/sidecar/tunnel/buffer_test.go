package tunnel

import (
	"bytes"
	"testing"
)

// TestQueueOfSmallFrames: frames of a byte do not hold a buffer each.
func TestQueueOfSmallFrames(t *testing.T) {
	t.Parallel()
	var q queue
	var want bytes.Buffer
	for i := range 3 * maxFrame {
		buffer := takeBuffer()
		buffer[0] = byte(i)
		want.WriteByte(byte(i))
		q.add(buffer, buffer[:1])
	}
	if len(q.chunks) != 3 {
		t.Errorf("%d bytes are in %d buffers, want 3", want.Len(), len(q.chunks))
	}
	got := make([]byte, want.Len()+1)
	n := q.read(got)
	if !bytes.Equal(got[:n], want.Bytes()) || !q.empty() {
		t.Error("other data came out")
	}
}
