package relay

import (
	"io"
	"net/http"
	"sync"
)

// keptBody is a body that the transport does not close before release: the transport
// closes it with each attempt.
type keptBody struct {
	io.ReadCloser
	mu               sync.Mutex
	closed, released bool
}

// keepBody replaces the body of a request, and returns nil if there is none.
func keepBody(request *http.Request) *keptBody {
	if request.Body == nil || request.Body == http.NoBody {
		return nil
	}
	body := &keptBody{ReadCloser: request.Body}
	request.Body = body
	return body
}

// Close implements io.Closer.
func (b *keptBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if !b.released {
		return nil
	}
	return b.ReadCloser.Close()
}

// release closes the body if the transport has done so, or as soon as it does.
func (b *keptBody) release() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.released = true
	if b.closed {
		_ = b.ReadCloser.Close()
	}
}
