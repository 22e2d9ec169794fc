package admission

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// maxReviewBytes bounds an AdmissionReview as controller-runtime does
	// (pkg/webhook/admission/http.go): the API server accepts objects of at most
	// 3 MiB, a review contains two of them, and the rest is far below 1 MiB.
	maxReviewBytes = 7 << 20

	// firstReadBytes is allocated for a review before any of it has arrived, if
	// the request announces as much. Nearly every pod fits.
	firstReadBytes = 64 << 10

	// maxPooledBytes bounds the buffers that are kept for later requests, so
	// that one large request does not occupy its memory for ever.
	maxPooledBytes = 256 << 10

	mediaTypeJSON = "application/json"
)

// buffers are the buffers of one request.
type buffers struct {
	body   bytes.Buffer
	patch  []byte
	answer []byte
}

func (h *Handler) getBuffers() *buffers {
	if pooled, ok := h.pool.Get().(*buffers); ok {
		return pooled
	}
	return &buffers{}
}

// putBuffers gives the buffers to later requests. Nothing may refer to their
// contents any more.
func (h *Handler) putBuffers(b *buffers) {
	if b.body.Cap() > maxPooledBytes || cap(b.patch) > maxPooledBytes || cap(b.answer) > maxPooledBytes {
		return
	}
	b.body.Reset()
	h.pool.Put(b)
}

// keep keeps the memory of a patch, which may be larger than its buffer was.
func (b *buffers) keep(patch []byte) {
	if cap(patch) > cap(b.patch) {
		b.patch = patch
	}
}

// badReview is a request without an AdmissionReview to answer. Its answer is an
// HTTP status.
type badReview struct {
	code    int32
	reason  metav1.StatusReason
	message string
}

func badRequest(format string, arguments ...any) *badReview {
	return &badReview{http.StatusBadRequest, metav1.StatusReasonBadRequest, fmt.Sprintf(format, arguments...)}
}

// readReview reads the AdmissionReview of an HTTP request. The buffer can be
// used again afterwards.
func readReview(w http.ResponseWriter, r *http.Request, buffer *bytes.Buffer) (*reviewRequest, *badReview) {
	if r.Method != http.MethodPost {
		return nil, &badReview{
			http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed,
			fmt.Sprintf("method is %s: send an %s by POST", r.Method, reviewKind),
		}
	}
	if contentType := r.Header.Get("Content-Type"); !isJSON(contentType) {
		return nil, &badReview{
			http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType,
			fmt.Sprintf("Content-Type is %q: send an %s as %s", contentType, reviewKind, mediaTypeJSON),
		}
	}
	// ReadFrom needs room for detecting the end of the stream as well.
	buffer.Grow(int(min(max(r.ContentLength, 0), firstReadBytes)) + bytes.MinRead)
	_, err := buffer.ReadFrom(http.MaxBytesReader(w, r.Body, maxReviewBytes))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, &badReview{
			http.StatusRequestEntityTooLarge, metav1.StatusReasonRequestEntityTooLarge,
			fmt.Sprintf("the %s is larger than %d bytes", reviewKind, maxReviewBytes),
		}
	}
	if err != nil {
		return nil, badRequest("reading the %s: %v", reviewKind, err)
	}
	return decodeReview(buffer.Bytes())
}

// isJSON accepts parameters of the media type, which the API server does not
// send.
func isJSON(contentType string) bool {
	if contentType == mediaTypeJSON {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == mediaTypeJSON
}

// writeFailure answers a request that has no other answer, as the Kubernetes API
// does. The API server then follows the webhook's failurePolicy, and returns the
// message to the user.
func writeFailure(w http.ResponseWriter, code int32, reason metav1.StatusReason, message string) error {
	return write(w, int(code), encode(&metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure,
		Code:     code,
		Reason:   reason,
		Message:  message,
	}))
}

// write sends a whole answer. Its length is announced, because net/http would
// otherwise send a longer one in chunks.
func write(w http.ResponseWriter, code int, body []byte) error {
	header := w.Header()
	header["Content-Type"] = contentTypeJSON
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(code)
	if _, err := w.Write(body); err != nil {
		return fmt.Errorf("sending the answer: %w", err)
	}
	return nil
}

// contentTypeJSON is shared by all answers and must not be changed.
var contentTypeJSON = []string{mediaTypeJSON}
