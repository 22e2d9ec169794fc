package admission

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// maxReviewBytes bounds an AdmissionReview as controller-runtime does
	// (pkg/webhook/admission/http.go): the API server accepts objects of at most
	// 3 MiB, a review contains two of them, and the rest is far below 1 MiB.
	maxReviewBytes = 7 << 20

	// usualBytes bounds a body that is read without a share of the budget. Nearly
	// every pod fits.
	usualBytes = 64 << 10

	// decodedBytes bounds the memory of the decoded structure of a review, beside
	// its strings: the containers of two pods.
	decodedBytes = 1 << 20

	// bodyTimeout bounds the time in which a body arrives. The API server waits
	// for 5 s for the whole answer (timeoutSeconds in the chart).
	bodyTimeout = 5 * time.Second
)

// largeBodyTimeout bounds the time in which a body arrives while it holds a share
// of the budget: a second, and a further one for every 8 MiB. Networks in which
// API servers run are many times faster.
func largeBodyTimeout(bytes int64) time.Duration {
	return time.Second + time.Duration(bytes)*time.Second/(8<<20)
}

// read reads the body of a request into the buffer. A body that is large, or that
// may be deeply nested, is read with a share of the budget, which is to be
// released when the request has been answered.
func (b *Budget) read(w http.ResponseWriter, r *http.Request, buffer *bytes.Buffer) (release func(), bad *badReview) {
	readBy(w, time.Now().Add(bodyTimeout))
	defer readBy(w, time.Time{})
	if r.ContentLength > maxReviewBytes {
		return released, tooLarge()
	}
	if r.ContentLength >= 0 && r.ContentLength <= usualBytes {
		// ReadFrom needs room for detecting the end of the stream as well.
		buffer.Grow(int(r.ContentLength) + bytes.MinRead)
		if _, err := buffer.ReadFrom(r.Body); err != nil {
			return released, badRequest("reading the %s: %v", reviewKind, err)
		}
		if opening(buffer.Bytes()) <= maxDepth {
			return released, nil
		}
		return b.checkNesting(r, buffer.Bytes())
	}
	return b.readLarge(w, r, buffer)
}

// released is the release of no share.
func released() {}

// checkNesting acquires a share for a body of usual size that was read, but has
// more objects and lists than usual.
func (b *Budget) checkNesting(r *http.Request, body []byte) (release func(), bad *badReview) {
	if depth := (nesting{}); !depth.follow(body) {
		return released, tooDeep()
	}
	release, err := b.body(r.Context(), r.RemoteAddr, share(int64(len(body))))
	if err != nil {
		return released, busy(err)
	}
	return release, nil
}

func (b *Budget) readLarge(w http.ResponseWriter, r *http.Request, buffer *bytes.Buffer) (release func(), bad *badReview) {
	length := r.ContentLength
	if length < 0 { // not known, which API servers do not do
		length = maxReviewBytes
	}
	release, err := b.body(r.Context(), r.RemoteAddr, share(length))
	if err != nil {
		return released, busy(err)
	}
	readBy(w, time.Now().Add(largeBodyTimeout(length)))
	buffer.Grow(int(max(r.ContentLength, 0)) + bytes.MinRead)
	_, err = buffer.ReadFrom(&nestingReader{from: http.MaxBytesReader(w, r.Body, maxReviewBytes)})
	if err == nil {
		return release, nil
	}
	release()
	_, over := errors.AsType[*http.MaxBytesError](err)
	switch {
	case over:
		return released, tooLarge()
	case errors.Is(err, errTooDeep):
		return released, tooDeep()
	}
	return released, badRequest("reading the %s: %v", reviewKind, err)
}

// share is the memory for a body of that many bytes, and for the strings and
// structures that are decoded from it.
func share(bytes int64) int64 { return 2*bytes + decodedBytes }

// readBy sets the deadline for reading the request. The zero time removes it:
// otherwise, a deadline that passes while the request is answered would cancel the
// request.
func readBy(w http.ResponseWriter, deadline time.Time) {
	// A connection that has no deadlines is one of a test.
	_ = http.NewResponseController(w).SetReadDeadline(deadline)
}

var errTooDeep = errors.New("the body is nested too deeply")

// nestingReader reads a JSON text, and fails as soon as it is nested too deeply.
type nestingReader struct {
	from  io.Reader
	depth nesting
}

func (n *nestingReader) Read(buffer []byte) (int, error) {
	count, err := n.from.Read(buffer)
	if !n.depth.follow(buffer[:count]) {
		return count, errTooDeep
	}
	return count, err //nolint:wrapcheck // io.EOF has to stay what it is
}

func tooLarge() *badReview {
	return &badReview{
		code: http.StatusRequestEntityTooLarge, reason: metav1.StatusReasonRequestEntityTooLarge,
		message: fmt.Sprintf("the %s is larger than %d bytes", reviewKind, maxReviewBytes),
	}
}

func tooDeep() *badReview {
	return badRequest("the %s has more than %d levels of objects and lists", reviewKind, maxDepth)
}
