package admission

import (
	"context"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/inject"
)

// PolicyKeeper keeps NetworkPolicies while pods run.
type PolicyKeeper interface {
	// Keep delays the deletion of the namespace's NetworkPolicy until the leader finds
	// no pod in the namespace. It returns nil if there is no policy.
	Keep(ctx context.Context, namespace string) error
}

// Delete is the handler of the validating webhook of deleted namespaces: before
// Kubernetes 1.33, the NetworkPolicy of such a namespace may be deleted before its
// pods. It refuses no deletion, but there may be no decision about one.
func (h *NamespaceHandler) Delete() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, deletedNamespaces{h}) })
}

type deletedNamespaces struct{ *NamespaceHandler }

func (h deletedNamespaces) answer(ctx context.Context, _ string, body, _ []byte) (uid string, d *decision, bad *badReview, err error) {
	request, bad := decodeReview[namespaceRequest](body)
	if bad != nil {
		return "", nil, bad, nil
	}
	tenant, labelled := request.OldObject.tenant()
	switch {
	case request.Resource != groupVersionResource{Version: "v1", Resource: "namespaces"} || request.Operation != string(admissionv1.Delete):
		d = &decision{Decision: *deny(names.ReasonBadRequest,
			"the webhook configuration sends %s of %s here, where DELETE of namespaces belongs", request.Operation, request.Resource.Resource)}
	case request.OldObject == nil:
		d = &decision{Decision: *deny(names.ReasonBadRequest, "request.oldObject is missing")}
	case !labelled:
		d = &decision{Decision: inject.Decision{Action: inject.Skip, Reason: names.ReasonTenantUnchanged, Message: "the namespace has no tenant label"}}
	default:
		name := request.OldObject.Metadata.Name
		if !request.DryRun {
			err = h.policies.Keep(ctx, name)
		}
		if err != nil {
			return "", nil, nil, fmt.Errorf("namespace %s is not deleted, because its pods could outlive its NetworkPolicy: %w", name, err)
		}
		d = &decision{tenant: tenant, Decision: inject.Decision{
			Action: inject.Skip, Reason: names.ReasonPolicyKept,
			Message: fmt.Sprintf("namespace %s is deleted, and NetworkPolicy %s stays until its pods have ended", name, names.PolicyName),
		}}
	}
	h.log(ctx, request, d)
	return request.UID, d, nil, nil
}
