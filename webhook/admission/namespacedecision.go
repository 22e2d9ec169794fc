package admission

import (
	"context"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/settings"
)

// problem returns a sentence about a request that neither creates nor updates a
// namespace, and "" about any other.
func (r *namespaceRequest) problem() string {
	namespaces := groupVersionResource{Version: "v1", Resource: "namespaces"}
	operations := []string{string(admissionv1.Create), string(admissionv1.Update)}
	switch {
	case r.Resource != namespaces, !slices.Contains(operations, r.Operation):
		return fmt.Sprintf("the webhook configuration sends %s of %s here, where CREATE and UPDATE of namespaces belong", r.Operation, r.Resource.Resource)
	case r.Object == nil:
		return "request.object is missing"
	case r.Operation == string(admissionv1.Update) && r.OldObject == nil:
		return "request.oldObject is missing"
	}
	return ""
}

// joins returns the tenant that the request makes the namespace belong to. It is
// not ok if the label is absent, or stays as it is.
func (r *namespaceRequest) joins() (tenant string, ok bool) {
	tenant, labelled := r.Object.tenant()
	before, was := r.OldObject.tenant()
	return tenant, labelled && (!was || before != tenant)
}

func (r *namespaceRequest) name() string {
	if r.Name != "" {
		return r.Name
	}
	return r.Object.Metadata.Name
}

// permit decides whether a namespace may get the tenant label. The message does
// not contain the names of other tenants, because the user may be one of them.
func (h *NamespaceHandler) permit(ctx context.Context, client string, request *namespaceRequest, tenant string) (*inject.Decision, error) {
	exists, err := h.exists(ctx, client, tenant)
	if err != nil {
		return nil, err
	}
	if !exists {
		return deny(names.ReasonUnknownTenant, "namespace %s: the label %s=%s names no EgressTenant: correct the label, or create the EgressTenant first",
			request.name(), names.LabelTenant, tenant), nil
	}
	return &inject.Decision{
		Action: inject.Skip, Reason: names.ReasonTenantJoined,
		Message: fmt.Sprintf("namespace %s belongs to EgressTenant %s", request.name(), tenant),
	}, nil
}

func deny(reason names.Reason, format string, arguments ...any) *inject.Decision {
	return &inject.Decision{Action: inject.Deny, Reason: reason, Message: fmt.Sprintf(format, arguments...)}
}

// podSecurity returns the decision about the Pod Security Standard of a namespace
// that gets the tenant label: it is set if it is absent, or weaker than the
// settings demand.
func podSecurity(request *namespaceRequest, level settings.PodSecurity) (inject.Decision, inject.Patch) {
	current, labelled := request.Object.Metadata.Labels[labelPodSecurity]
	strict := []string{"privileged", string(settings.PodSecurityBaseline), string(settings.PodSecurityRestricted)}
	at, wanted := slices.Index(strict, current), slices.Index(strict, string(level))
	// Kubernetes refuses a label with another value.
	if level == settings.PodSecurityOff || labelled && (at < 0 || at >= wanted) {
		return inject.Decision{Action: inject.Skip, Reason: names.ReasonTenantJoined, Message: "the Pod Security Standard of the namespace stays"}, inject.Patch{}
	}
	message := fmt.Sprintf("namespace %s belongs to a tenant from now on, and gets the label %s=%s", request.name(), labelPodSecurity, level)
	path := "/metadata/labels/" + strings.ReplaceAll(labelPodSecurity, "/", "~1")
	return inject.Decision{Action: inject.Inject, Reason: names.ReasonTenantJoined, Message: message, Warnings: []string{message}},
		inject.Patch{JSON: fmt.Appendf(nil, `[{"op":"add","path":%q,"value":%q}]`, path, level), Operations: 1}
}
