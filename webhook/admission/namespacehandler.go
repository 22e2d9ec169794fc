package admission

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/settings"
)

// NamespaceOptions are the settings and dependencies of a NamespaceHandler. All
// dependencies are required.
type NamespaceOptions struct {
	Settings settings.Namespaces
	// Cache reads tenants from informers. It may lag.
	Cache client.Reader
	// Live reads tenants from the API server.
	Live client.Reader
	// Policies keeps NetworkPolicies of namespaces that are deleted.
	Policies PolicyKeeper
	Budget   *Budget
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
}

// NamespaceHandler answers the AdmissionReviews of namespaces that get the tenant
// label, or have it and are deleted. Of others, the webhook configuration sends none.
type NamespaceHandler struct {
	server
	settings settings.Namespaces
	cache    client.Reader
	live     client.Reader
	policies PolicyKeeper
	lookups  turns
}

// NewNamespaceHandler returns a NamespaceHandler. The error reports dependencies
// that are missing, and metrics that are already registered.
func NewNamespaceHandler(options NamespaceOptions) (*NamespaceHandler, error) {
	if err := requireAll(map[string]bool{
		"Cache": options.Cache != nil, "Live": options.Live != nil, "Policies": options.Policies != nil,
		"Budget": options.Budget != nil, "Logger": options.Logger != nil, "Metrics": options.Metrics != nil,
	}); err != nil {
		return nil, err
	}
	metrics, err := newMetrics(options.Metrics, namespaceOutcomes(), prometheus.CounterOpts{
		Name: names.MetricNamespaceAdmissions,
		Help: "Admission requests of namespaces that get the tenant label, by decision (inject, skip, deny, error) and its reason.",
	}, prometheus.HistogramOpts{
		Name: names.MetricNamespaceAdmissionDuration,
		Help: "Time to answer an admission request of a namespace, after its headers were read.",
	})
	if err != nil {
		return nil, err
	}
	return &NamespaceHandler{
		server:   server{budget: options.Budget, logger: options.Logger, metrics: metrics},
		settings: options.Settings, cache: options.Cache, live: options.Live, policies: options.Policies,
		lookups: newTurns(lookupsOfClient),
	}, nil
}

// namespaceOutcomes returns every outcome of a request.
func namespaceOutcomes() []outcome {
	return []outcome{
		{decisionInject, names.ReasonTenantJoined},
		{decisionSkip, names.ReasonTenantJoined},
		{decisionSkip, names.ReasonTenantUnchanged},
		{decisionSkip, names.ReasonPolicyKept},
		{decisionDeny, names.ReasonUnknownTenant},
		{decisionDeny, names.ReasonBadRequest},
		{decisionError, names.ReasonBadRequest},
		{decisionError, names.ReasonBusy},
		{decisionError, names.ReasonUnavailable},
		{decisionError, names.ReasonInternalError},
	}
}

// Validate is the handler of the validating webhook: it refuses labels that name
// no tenant. A guard of the chart decides who may use which tenant.
func (h *NamespaceHandler) Validate() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, validatingNamespaces{h}) })
}

// Mutate is the handler of the mutating webhook: it sets the Pod Security Standard.
func (h *NamespaceHandler) Mutate() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, mutatingNamespaces{h}) })
}

type validatingNamespaces struct{ *NamespaceHandler }

func (h validatingNamespaces) answer(ctx context.Context, client string, body, _ []byte) (uid string, d *decision, bad *badReview, err error) {
	return h.decideNamespace(ctx, body, func(request *namespaceRequest, tenant string) (*decision, error) {
		permitted, err := h.permit(ctx, client, request, tenant)
		if err != nil {
			return nil, err
		}
		return &decision{Decision: *permitted, tenant: tenant}, nil
	})
}

type mutatingNamespaces struct{ *NamespaceHandler }

func (h mutatingNamespaces) answer(ctx context.Context, _ string, body, _ []byte) (uid string, d *decision, bad *badReview, err error) {
	return h.decideNamespace(ctx, body, func(request *namespaceRequest, tenant string) (*decision, error) {
		change, patch := podSecurity(request, h.settings.PodSecurity)
		return &decision{Decision: change, tenant: tenant, patch: patch}, nil
	})
}

// decideNamespace decodes a review, and calls decide if the namespace gets the
// label.
func (h *NamespaceHandler) decideNamespace(ctx context.Context, body []byte, decide func(*namespaceRequest, string) (*decision, error)) (uid string, d *decision, bad *badReview, err error) {
	request, bad := decodeReview[namespaceRequest](body)
	if bad != nil {
		return "", nil, bad, nil
	}
	if problem := request.problem(); problem != "" {
		d = &decision{Decision: *deny(names.ReasonBadRequest, "%s", problem)}
	} else if tenant, joins := request.joins(); !joins {
		d = &decision{Decision: inject.Decision{Action: inject.Skip, Reason: names.ReasonTenantUnchanged, Message: "the tenant label stays as it is"}}
	} else if d, err = decide(request, tenant); err != nil {
		return "", nil, nil, err
	}
	h.log(ctx, request, d)
	return request.UID, d, nil, nil
}

// exists reports whether there is an EgressTenant of that name.
func (h *NamespaceHandler) exists(ctx context.Context, remote, name string) (bool, error) {
	if name == "" {
		return false, nil // a label may be empty, the name of an object may not
	}
	var tenant v1alpha1.EgressTenant
	if h.cache.Get(ctx, client.ObjectKey{Name: name}, &tenant, shared...) == nil {
		return true, nil
	}
	finish, err := h.lookups.take(ctx, hostOf(remote))
	if err != nil {
		return false, err
	}
	defer finish()
	switch err := h.live.Get(ctx, client.ObjectKey{Name: name}, &tenant); {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reading EgressTenant %q: %w", name, err)
	}
	return true, nil
}

// maxTenantsLogged keeps lines readable in a cluster with a thousand tenants.
const maxTenantsLogged = 20

// log records every decision: a namespace joins a tenant rarely. The line about an
// unknown tenant has the names of those that exist, which the user does not get.
func (h *NamespaceHandler) log(ctx context.Context, request *namespaceRequest, d *decision) {
	attributes := []slog.Attr{
		slog.String("uid", request.UID),
		slog.String("user", request.User.Username),
		slog.String("tenant", d.tenant),
		slog.String("reason", string(d.Reason)),
		slog.String("message", d.Message),
		slog.Bool("dryRun", request.DryRun),
	}
	if d.Reason == names.ReasonUnknownTenant {
		attributes = append(attributes, slog.Any("existing", h.someTenants(ctx)))
	}
	message := "namespace admitted"
	if d.Action == inject.Deny {
		message = "namespace refused"
	}
	h.logger.LogAttrs(ctx, slog.LevelInfo, message, attributes...)
}

// someTenants returns names of tenants in the cache.
func (h *NamespaceHandler) someTenants(ctx context.Context) []string {
	var list v1alpha1.EgressTenantList
	if err := h.cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil // the line is about another matter
	}
	found := make([]string, 0, len(list.Items))
	for i := range list.Items {
		found = append(found, list.Items[i].Name)
	}
	slices.Sort(found)
	return found[:min(len(found), maxTenantsLogged)]
}
