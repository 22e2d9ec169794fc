package admission

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/webhook/api/names"
)

// server reads reviews within the budget, and sends, counts and logs the answers.
type server struct {
	budget  *Budget
	logger  *slog.Logger
	metrics *metrics
	pool    sync.Pool // of *buffers
}

// answerer decides about one review. The client is its remote address, and the
// patch is written into the buffer of that name. The review is not one that it can
// answer (bad), or a decision is not possible (err), or it is decided.
type answerer interface {
	answer(ctx context.Context, client string, body, patch []byte) (uid string, d *decision, bad *badReview, err error)
}

func (s *server) serve(w http.ResponseWriter, r *http.Request, a answerer) {
	defer s.metrics.observeSince(time.Now())
	defer s.recoverPanic(r.Context(), w)
	buffers := s.getBuffers()
	s.respond(w, r, buffers, a)
	s.putBuffers(buffers) // after a panic they are left to the garbage collector
}

func (s *server) respond(w http.ResponseWriter, r *http.Request, buffers *buffers, a answerer) {
	ctx := r.Context()
	release, bad := s.read(w, r, &buffers.body)
	defer release()
	if bad != nil {
		s.refuse(ctx, w, r, bad)
		return
	}
	uid, d, bad, err := a.answer(ctx, r.RemoteAddr, buffers.body.Bytes(), buffers.patch)
	if errors.Is(err, errBusy) {
		bad = busy(err)
	}
	switch {
	case bad != nil:
		s.refuse(ctx, w, r, bad)
		return
	case err != nil:
		s.metrics.count(outcome{decisionError, names.ReasonUnavailable})
		s.logger.ErrorContext(ctx, "no decision about an admission request", "reason", names.ReasonUnavailable, "error", err)
		s.logUnsent(ctx, writeFailure(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, err.Error()))
		return
	}
	defer d.release()
	buffers.keep(d.patch.JSON)
	buffers.answer = appendReview(buffers.answer[:0], uid, d)
	s.metrics.count(outcomeOf(&d.Decision))
	s.logUnsent(ctx, write(w, http.StatusOK, buffers.answer))
}

// read reads the body of a request that can have an AdmissionReview. The share of
// the budget is to be released when the request has been answered.
func (s *server) read(w http.ResponseWriter, r *http.Request, buffer *bytes.Buffer) (release func(), bad *badReview) {
	if bad := checkHeader(r); bad != nil {
		return released, bad
	}
	return s.budget.read(w, r, buffer)
}

// refuse answers a request without an AdmissionReview to answer.
func (s *server) refuse(ctx context.Context, w http.ResponseWriter, r *http.Request, bad *badReview) {
	reason := names.ReasonBadRequest
	if bad.busy {
		reason = names.ReasonBusy
	}
	s.metrics.count(outcome{decisionError, reason})
	s.logger.WarnContext(ctx, "admission request refused", "reason", reason, "code", bad.code, "message", bad.message, "remote", r.RemoteAddr)
	s.logUnsent(ctx, writeBad(w, bad))
}

// recoverPanic answers a request that panicked. Otherwise net/http would close
// the connection without an answer.
func (s *server) recoverPanic(ctx context.Context, w http.ResponseWriter) {
	cause := recover()
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(cause) // the way of net/http to abort a request
	}
	s.metrics.count(outcome{decisionError, names.ReasonInternalError})
	s.logger.ErrorContext(ctx, "panic while answering an admission request", "reason", names.ReasonInternalError, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	s.logUnsent(ctx, writeFailure(w, http.StatusInternalServerError, metav1.StatusReasonInternalError,
		"the webhook failed on this request; its log has the details"))
}

// logUnsent records an answer that did not reach the API server, which usually
// has stopped waiting for it.
func (s *server) logUnsent(ctx context.Context, err error) {
	if err != nil {
		s.logger.WarnContext(ctx, "admission request not answered", "error", err)
	}
}
