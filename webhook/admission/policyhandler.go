package admission

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"
	networkingv1 "k8s.io/api/networking/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/internal/jsonobject"
)

// PolicyHandler answers the AdmissionReviews of requests that change or delete the
// NetworkPolicy of a tenant's namespace, and refuses all of them. The webhook
// configuration sends only those of clients that are neither the webhook nor may
// remove that configuration.
//
// A repair comes after the change. A client that changes the policy in a loop would
// therefore keep the namespace open for most of the time, if a guard of the chart is
// off or the client is exempt from it.
type PolicyHandler struct{ server }

// NewPolicyHandler returns a PolicyHandler. The error reports metrics that are
// already registered.
func NewPolicyHandler(budget *Budget, logger *slog.Logger, registerer prometheus.Registerer) (*PolicyHandler, error) {
	metrics, err := newMetrics(registerer, policyOutcomes(), prometheus.CounterOpts{
		Name: names.MetricPolicyAdmissions,
		Help: "Requests of other clients to change the NetworkPolicy of a tenant's namespace, by decision (deny, error) and its reason.",
	}, prometheus.HistogramOpts{
		Name: names.MetricPolicyAdmissionDuration,
		Help: "Time to answer an admission request of a NetworkPolicy, after its headers were read.",
	})
	if err != nil {
		return nil, err
	}
	return &PolicyHandler{server{budget: budget, logger: logger, metrics: metrics}}, nil
}

// policyOutcomes returns every outcome of a request.
func policyOutcomes() []outcome {
	return []outcome{
		{decisionDeny, names.ReasonPolicyLocked},
		{decisionDeny, names.ReasonBadRequest},
		{decisionError, names.ReasonBadRequest},
		{decisionError, names.ReasonBusy},
		{decisionError, names.ReasonUnavailable},
		{decisionError, names.ReasonInternalError},
	}
}

// ServeHTTP answers one review.
func (h *PolicyHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.serve(w, r, h) }

func (h *PolicyHandler) answer(ctx context.Context, _ string, body, _ []byte) (uid string, d *decision, bad *badReview, err error) {
	request, bad := decodeReview[policyRequest](body)
	if bad != nil {
		return "", nil, bad, nil
	}
	if problem := request.problem(); problem != "" {
		return request.UID, &decision{Decision: *deny(names.ReasonBadRequest, "%s", problem)}, nil, nil
	}
	refusal := deny(names.ReasonPolicyLocked,
		"NetworkPolicy %s of namespace %s contains the egress paths of a tenant, and only the egress webhook changes it while the namespace has the label %s. Other destinations belong into the EgressTenant. Ask the platform team",
		names.PolicyName, request.Namespace, names.LabelTenant)
	h.logger.LogAttrs(ctx, slog.LevelWarn, "change of a NetworkPolicy refused",
		slog.String("uid", request.UID),
		slog.String("user", request.User.Username),
		slog.String("namespace", request.Namespace),
		slog.String("operation", request.Operation),
		slog.Bool("dryRun", request.DryRun))
	return request.UID, &decision{Decision: *refusal}, nil, nil
}

// policyRequest is the part of the review of a NetworkPolicy that its handler reads.
type policyRequest struct {
	UID       string
	Namespace string
	Operation string
	Resource  groupVersionResource
	User      userInfo
	DryRun    bool
}

func (r *policyRequest) uid() string { return r.UID }

// UnmarshalJSONFrom reads the fields of a request.
func (r *policyRequest) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d,
		jsonobject.Field{Name: "uid", Into: &r.UID},
		jsonobject.Field{Name: "namespace", Into: &r.Namespace},
		jsonobject.Field{Name: "operation", Into: &r.Operation},
		jsonobject.Field{Name: "resource", Into: &r.Resource},
		jsonobject.Field{Name: "userInfo", Into: &r.User},
		jsonobject.Field{Name: "dryRun", Into: &r.DryRun})
}

// problem returns a sentence about a request of another kind, and "" about one of a
// NetworkPolicy.
func (r *policyRequest) problem() string {
	if r.Resource.Group == networkingv1.GroupName && r.Resource.Resource == "networkpolicies" {
		return ""
	}
	return fmt.Sprintf("the webhook configuration sends %s of %s here, where NetworkPolicies belong", r.Operation, r.Resource.Resource)
}
