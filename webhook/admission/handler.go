package admission

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

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

// Neighbours finds the neighbours of tenants' namespaces.
type Neighbours interface {
	// Of returns the neighbours of a namespace of the tenant from memory: the same
	// value as long as they are the same.
	Of(ctx context.Context, tenant, namespace string) (*inject.Neighbours, error)
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
	Live       client.Reader
	Policies   PolicyApplier
	Neighbours Neighbours
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
	server
	templates  templates
	inSync     perNamespace[comparison]
	settings   *settings.Settings
	cache      client.Reader
	live       client.Reader
	policies   PolicyApplier
	neighbours Neighbours
	lookups    turns
}

// NewHandler returns a Handler. The error reports dependencies that are missing, and
// metrics that are already registered.
func NewHandler(options Options) (*Handler, error) {
	if err := requireAll(map[string]bool{
		"Settings": options.Settings != nil, "Cluster": options.Cluster != nil, "Cache": options.Cache != nil, "Live": options.Live != nil,
		"Policies": options.Policies != nil, "Neighbours": options.Neighbours != nil, "Budget": options.Budget != nil, "Logger": options.Logger != nil, "Metrics": options.Metrics != nil,
	}); err != nil {
		return nil, err
	}
	metrics, err := newPodMetrics(options.Metrics)
	if err != nil {
		return nil, err
	}
	return &Handler{
		templates:  templates{cluster: options.Cluster},
		settings:   options.Settings,
		cache:      options.Cache,
		live:       options.Live,
		policies:   options.Policies,
		neighbours: options.Neighbours,
		lookups:    newTurns(lookupsOfClient),
		server:     server{budget: options.Budget, logger: options.Logger, metrics: metrics},
	}, nil
}

// ServeHTTP answers one AdmissionReview. An error that the pod's author can
// correct is a refusal in an AdmissionReview. An error of the webhook is an HTTP
// status of 500 or 503, for which the API server follows the failurePolicy.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.serve(w, r, h) }

// answer decides about the pod of a review.
func (h *Handler) answer(ctx context.Context, client string, body, patch []byte) (uid string, d *decision, bad *badReview, err error) {
	request, bad := decodeReview[reviewRequest](body)
	if bad != nil {
		return "", nil, bad, nil
	}
	request.client, request.body = client, body
	if d, err = h.decide(ctx, request, patch); err != nil {
		return "", nil, nil, err
	}
	h.log(ctx, request, d)
	return request.UID, d, nil, nil
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
