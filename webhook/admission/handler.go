package admission

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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
}

// Options are what a Handler works with; all are required.
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
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
}

// Handler answers the AdmissionReviews of pods that are created, and of
// ephemeral containers that join them: with a patch, nothing, or a refusal.
//
// It is a handler of its own because that of controller-runtime re-parses every
// review and pod through the Kubernetes codecs, at several times the cost.
type Handler struct {
	configurations *configurations
	settings       *settings.Settings
	cache          client.Reader
	live           client.Reader
	policies       PolicyApplier
	logger         *slog.Logger
	metrics        *admissionMetrics
}

// NewHandler returns a Handler. Its error is that of the metrics, which
// can be registered once only.
func NewHandler(options Options) (*Handler, error) {
	metrics, err := newAdmissionMetrics(options.Metrics)
	if err != nil {
		return nil, err
	}
	return &Handler{
		configurations: newConfigurations(options.Cluster),
		settings:       options.Settings,
		cache:          options.Cache,
		live:           options.Live,
		policies:       options.Policies,
		logger:         options.Logger,
		metrics:        metrics,
	}, nil
}

// ServeHTTP answers one AdmissionReview. What the pod's author can mend is a
// refusal in an AdmissionReview; what is wrong on our side is an HTTP status of
// 500 or 503, for which the API server does as the failurePolicy says.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	defer h.metrics.observeSince(time.Now())
	defer h.recoverPanic(ctx, w)

	request, bad := readReview(w, r)
	if bad != nil {
		h.metrics.count(names.ReasonBadRequest)
		h.logger.WarnContext(ctx, "admission request refused", "code", bad.code, "message", bad.message, "remote", r.RemoteAddr)
		h.logUnsent(ctx, writeFailure(w, bad.code, bad.reason, bad.message))
		return
	}
	verdict, err := h.judge(ctx, request)
	if err != nil {
		h.metrics.count(names.ReasonUnavailable)
		h.logger.ErrorContext(ctx, "pod refused, as it could not be judged", "uid", request.UID, "namespace", request.Namespace, "error", err)
		h.logUnsent(ctx, writeFailure(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, err.Error()))
		return
	}
	response := verdict.response(request.UID)
	h.metrics.count(verdict.decision.Reason)
	h.log(ctx, request, verdict)
	h.logUnsent(ctx, writeReview(w, response))
}

// recoverPanic keeps a defect from reaching other requests, and from closing
// the connection without a word.
func (h *Handler) recoverPanic(ctx context.Context, w http.ResponseWriter) {
	cause := recover()
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(cause) // net/http's own way to end a request
	}
	h.metrics.count(names.ReasonInternalError)
	h.logger.ErrorContext(ctx, "panic while answering an admission request", "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	h.logUnsent(ctx, writeFailure(w, http.StatusInternalServerError, metav1.StatusReasonInternalError,
		"the webhook failed on this request; its log has the details"))
}

// log says what was refused always, and what was injected when debugging.
func (h *Handler) log(ctx context.Context, request *reviewRequest, verdict *verdict) {
	level, message := slog.LevelDebug, "pod admitted"
	if verdict.decision.Action == inject.Deny {
		level, message = slog.LevelInfo, "pod refused"
	}
	if !h.logger.Enabled(ctx, level) {
		return
	}
	h.logger.LogAttrs(ctx, level, message,
		slog.String("uid", string(request.UID)),
		slog.String("namespace", request.Namespace),
		slog.String("pod", verdict.pod),
		slog.String("tenant", verdict.tenant),
		slog.String("reason", string(verdict.decision.Reason)),
		slog.String("message", verdict.decision.Message),
		slog.Int("operations", len(verdict.operations)),
		slog.Bool("dryRun", request.DryRun),
	)
}

// logUnsent notes an answer that did not reach the API server, which mostly
// has given up waiting for it.
func (h *Handler) logUnsent(ctx context.Context, err error) {
	if err != nil {
		h.logger.WarnContext(ctx, "admission request not answered", "error", err)
	}
}
