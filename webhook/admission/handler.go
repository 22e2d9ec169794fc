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

	"github.com/prometheus/client_golang/prometheus"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/settings"
)

// PolicyApplier writes NetworkPolicies.
type PolicyApplier interface {
	// Ensure returns nil once the NetworkPolicy for the namespace and tenant
	// exists in the API. On a dry run nothing is written.
	Ensure(ctx context.Context, namespace string, tenant *v1alpha1.EgressTenant, dryRun bool) error
	// Build returns the NetworkPolicy that the tenant requires in the namespace.
	Build(ctx context.Context, tenant *v1alpha1.EgressTenant, namespace string) (*networkingv1.NetworkPolicy, error)
}

// Options are the dependencies of a Handler. All are required.
type Options struct {
	// Settings contain the protected namespaces, and the values of
	// NetworkPolicies.
	Settings *settings.Settings
	Cluster  *inject.Cluster
	// Cache reads namespaces, tenants and policies from informers. It may lag.
	Cache client.Reader
	// Live reads namespaces and tenants from the API server.
	Live     client.Reader
	Policies PolicyApplier
	// Budget bounds the memory of requests. Handlers of one process share it.
	Budget  *Budget
	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

// Handler answers the AdmissionReviews of created pods, and of ephemeral
// containers that are added to pods: with a patch, without one, or with a
// refusal.
//
// It does not use controller-runtime's handler, which decodes every review and
// pod again through the Kubernetes codecs, at several times the cost.
type Handler struct {
	templates templates
	inSync    perNamespace[comparison]
	settings  *settings.Settings
	cache     client.Reader
	live      client.Reader
	policies  PolicyApplier
	budget    *Budget
	lookups   turns
	logger    *slog.Logger
	metrics   *metrics
	pool      sync.Pool // of *buffers
}

// NewHandler returns a Handler. The error reports metrics that are already
// registered.
func NewHandler(options Options) (*Handler, error) {
	metrics, err := newMetrics(options.Metrics)
	if err != nil {
		return nil, err
	}
	return &Handler{
		templates: templates{cluster: options.Cluster},
		settings:  options.Settings,
		cache:     options.Cache,
		live:      options.Live,
		policies:  options.Policies,
		budget:    options.Budget,
		lookups:   newTurns(lookupsOfClient),
		logger:    options.Logger,
		metrics:   metrics,
	}, nil
}

// ServeHTTP answers one AdmissionReview. An error that the pod's author can
// correct is a refusal in an AdmissionReview. An error of the webhook is an HTTP
// status of 500 or 503, for which the API server follows the failurePolicy.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer h.metrics.observeSince(time.Now())
	defer h.recoverPanic(r.Context(), w)
	buffers := h.getBuffers()
	h.serve(w, r, buffers)
	h.putBuffers(buffers) // after a panic they are left to the garbage collector
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, buffers *buffers) {
	ctx := r.Context()
	request, release, bad := h.readReview(w, r, &buffers.body)
	defer release()
	if bad != nil {
		h.refuse(ctx, w, r, bad)
		return
	}
	d, err := h.decide(ctx, request, buffers.patch)
	if errors.Is(err, errBusy) {
		h.refuse(ctx, w, r, busy(err))
		return
	}
	if err != nil {
		h.metrics.count(outcome{decisionError, names.ReasonUnavailable})
		h.logger.ErrorContext(ctx, "pod not admitted without a decision", "uid", request.UID, "namespace", request.Namespace, "error", err)
		h.logUnsent(ctx, writeFailure(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, err.Error()))
		return
	}
	defer d.release()
	buffers.keep(d.patch.JSON)
	buffers.answer = appendReview(buffers.answer[:0], request.UID, d)
	h.metrics.count(outcomeOf(&d.Decision))
	h.log(ctx, request, d)
	h.logUnsent(ctx, write(w, http.StatusOK, buffers.answer))
}

// readReview reads the AdmissionReview of an HTTP request. The buffer can be used
// again afterwards. The share of the budget is to be released when the request has
// been answered.
func (h *Handler) readReview(w http.ResponseWriter, r *http.Request, buffer *bytes.Buffer) (request *reviewRequest, release func(), bad *badReview) {
	if bad := checkHeader(r); bad != nil {
		return nil, released, bad
	}
	release, bad = h.budget.read(w, r, buffer)
	if bad != nil {
		return nil, release, bad
	}
	if request, bad = decodeReview(buffer.Bytes()); bad != nil {
		return nil, release, bad
	}
	request.client = r.RemoteAddr
	return request, release, nil
}

// refuse answers a request without an AdmissionReview to answer.
func (h *Handler) refuse(ctx context.Context, w http.ResponseWriter, r *http.Request, bad *badReview) {
	reason := names.ReasonBadRequest
	if bad.busy {
		reason = names.ReasonBusy
	}
	h.metrics.count(outcome{decisionError, reason})
	h.logger.WarnContext(ctx, "admission request refused", "code", bad.code, "message", bad.message, "remote", r.RemoteAddr)
	h.logUnsent(ctx, writeBad(w, bad))
}

// recoverPanic answers a request that panicked. Otherwise net/http would close
// the connection without an answer.
func (h *Handler) recoverPanic(ctx context.Context, w http.ResponseWriter) {
	cause := recover()
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(cause) // the way of net/http to abort a request
	}
	h.metrics.count(outcome{decisionError, names.ReasonInternalError})
	h.logger.ErrorContext(ctx, "panic while answering an admission request", "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	h.logUnsent(ctx, writeFailure(w, http.StatusInternalServerError, metav1.StatusReasonInternalError,
		"the webhook failed on this request; its log has the details"))
}

// log records the decision. Pods that were not injected are recorded at the
// default level, with the reason: users ask why they were not.
func (h *Handler) log(ctx context.Context, request *reviewRequest, d *decision) {
	level, message := slog.LevelInfo, "pod refused"
	switch d.Action {
	case inject.Inject:
		level, message = slog.LevelDebug, "pod injected"
	case inject.Skip:
		message = "pod admitted without injection"
	case inject.Deny:
	}
	if !h.logger.Enabled(ctx, level) {
		return
	}
	pod := ""
	if request.Object != nil {
		pod = request.Object.DisplayName()
	}
	h.logger.LogAttrs(ctx, level, message,
		slog.String("uid", request.UID),
		slog.String("namespace", request.Namespace),
		slog.String("pod", pod),
		slog.String("tenant", d.tenant),
		slog.String("reason", string(d.Reason)),
		slog.String("message", d.Message),
		slog.Int("operations", d.patch.Operations),
		slog.Bool("dryRun", request.DryRun),
	)
}

// logUnsent records an answer that did not reach the API server, which usually
// has stopped waiting for it.
func (h *Handler) logUnsent(ctx context.Context, err error) {
	if err != nil {
		h.logger.WarnContext(ctx, "admission request not answered", "error", err)
	}
}
