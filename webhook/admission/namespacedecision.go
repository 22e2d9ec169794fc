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
// that gets the tenant label: its level is set if it is absent, or weaker than the
// settings demand, and its version if it is an older one, which may admit what newer ones
// refuse.
func podSecurity(request *namespaceRequest, level settings.PodSecurity) (inject.Decision, inject.Patch) {
	const unchanged = "the Pod Security Standard of the namespace stays"
	if level == settings.PodSecurityOff {
		return inject.Decision{Action: inject.Skip, Reason: names.ReasonTenantJoined, Message: unchanged}, inject.Patch{}
	}
	labels := request.Object.Metadata.Labels
	var set []string
	var patch inject.Patch
	add := func(label, value string) {
		set = append(set, label+"="+value)
		patch.JSON = append(patch.JSON, separator(patch.Operations)...)
		patch.JSON = fmt.Appendf(patch.JSON, `{"op":"add","path":%q,"value":%q}`, "/metadata/labels/"+strings.ReplaceAll(label, "/", "~1"), value)
		patch.Operations++
	}
	if current, labelled := labels[labelPodSecurity]; !labelled || isWeaker(current, level) {
		add(labelPodSecurity, string(level))
	}
	if version, pinned := labels[labelPodSecurityVersion]; pinned && version != latestPodSecurity {
		add(labelPodSecurityVersion, latestPodSecurity)
	}
	if len(set) == 0 {
		return inject.Decision{Action: inject.Skip, Reason: names.ReasonTenantJoined, Message: unchanged}, inject.Patch{}
	}
	patch.JSON = append(patch.JSON, ']')
	message := fmt.Sprintf("namespace %s belongs to a tenant from now on, and gets the label %s", request.name(), strings.Join(set, " and the label "))
	return inject.Decision{Action: inject.Inject, Reason: names.ReasonTenantJoined, Message: message, Warnings: []string{message}}, patch
}

// separator is written before the operation of a patch that has this index.
func separator(index int) string {
	if index == 0 {
		return "["
	}
	return ","
}

// isWeaker reports whether a level of a namespace admits more pods than another one.
// Kubernetes refuses a label with a value that is none.
func isWeaker(current string, level settings.PodSecurity) bool {
	strict := []string{"privileged", string(settings.PodSecurityBaseline), string(settings.PodSecurityRestricted)}
	at := slices.Index(strict, current)
	return at >= 0 && at < slices.Index(strict, string(level))
}
