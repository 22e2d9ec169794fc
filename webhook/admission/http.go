package admission

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
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

func (s *server) getBuffers() *buffers {
	if pooled, ok := s.pool.Get().(*buffers); ok {
		return pooled
	}
	return &buffers{}
}

// putBuffers gives the buffers to later requests. Nothing may refer to their
// contents any more.
func (s *server) putBuffers(b *buffers) {
	if b.body.Cap() > maxPooledBytes || cap(b.patch) > maxPooledBytes || cap(b.answer) > maxPooledBytes {
		return
	}
	b.body.Reset()
	s.pool.Put(b)
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
	// busy reports that the request was not read for want of memory, and may be
	// sent again.
	busy bool
}

func badRequest(format string, arguments ...any) *badReview {
	return &badReview{code: http.StatusBadRequest, reason: metav1.StatusReasonBadRequest, message: fmt.Sprintf(format, arguments...)}
}

// busy is the answer to a request for which the budget has no share in time.
func busy(err error) *badReview {
	return &badReview{
		code: http.StatusTooManyRequests, reason: metav1.StatusReasonTooManyRequests, busy: true,
		message: fmt.Sprintf("the webhook answers other requests that need more memory or time than usual, and %v: send this one again", err),
	}
}

// checkHeader returns nil for a request that can have an AdmissionReview.
func checkHeader(r *http.Request) *badReview {
	if r.Method != http.MethodPost {
		return &badReview{
			code: http.StatusMethodNotAllowed, reason: metav1.StatusReasonMethodNotAllowed,
			message: fmt.Sprintf("method is %s: send an %s by POST", r.Method, reviewKind),
		}
	}
	if contentType := r.Header.Get("Content-Type"); !isJSON(contentType) {
		return &badReview{
			code: http.StatusUnsupportedMediaType, reason: metav1.StatusReasonUnsupportedMediaType,
			message: fmt.Sprintf("Content-Type is %q: send an %s as %s", contentType, reviewKind, mediaTypeJSON),
		}
	}
	return nil
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

// writeBad answers a request without an AdmissionReview.
func writeBad(w http.ResponseWriter, bad *badReview) error {
	if bad.busy {
		// The API server tries again after that many seconds, within its own
		// timeout, and on a new connection, which may lead to another replica.
		w.Header().Set("Retry-After", "1")
		w.Header().Set("Connection", "close")
	}
	return writeFailure(w, bad.code, bad.reason, bad.message)
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
