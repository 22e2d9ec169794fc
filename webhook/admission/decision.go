package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"gomodules.xyz/jsonpatch/v2"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/netpol"
)

// verdict is what becomes of one request.
type verdict struct {
	decision   inject.Decision
	operations []jsonpatch.Operation
	warnings   []string
	// For the log.
	pod, tenant string
}

// judge decides about one request. Its error says what could not be read or
// written, so that there is no verdict.
//
// Policy before pod: whatever is admitted into a tenant's namespace, injected
// or not, is admitted only when the namespace's NetworkPolicy exists.
func (h *Handler) judge(ctx context.Context, request *reviewRequest) (*verdict, error) {
	if problem := problemWith(request); problem != "" {
		return &verdict{decision: inject.Decision{Action: inject.Deny, Reason: names.ReasonBadRequest, Message: problem}}, nil
	}
	pod := request.Object
	namespace, tenant, covered, err := h.coverage(ctx, request.Namespace)
	if err != nil {
		return nil, err
	}
	var existing []string
	if _, labelled := namespace.Tenant(); labelled && tenant == nil {
		if existing, err = h.tenantNames(ctx); err != nil {
			return nil, err
		}
	}
	v := &verdict{decision: inject.Decide(pod, namespace, tenant, existing), pod: pod.DisplayName()}
	v.warnings = v.decision.Warnings
	if tenant == nil || v.decision.Action == inject.Deny {
		return v, nil
	}
	v.tenant = tenant.Name
	if !covered {
		if err := h.policies.Ensure(ctx, namespace.Name, tenant, request.DryRun); err != nil {
			return nil, fmt.Errorf("namespace %s has no NetworkPolicy yet, without which no pod of EgressTenant %s is admitted: %w",
				namespace.Name, tenant.Name, err)
		}
	}
	if v.decision.Action == inject.Skip {
		return v, nil
	}
	injection, err := h.injection(tenant, namespace.Name, pod)
	if refusal, ok := errors.AsType[*inject.Refusal](err); ok {
		v.decision = refusal.Decision()
		return v, nil
	}
	if err != nil {
		return nil, err
	}
	v.inject(request, injection)
	return v, nil
}

func (h *Handler) injection(tenant *v1alpha1.EgressTenant, namespace string, pod *inject.Pod) (*inject.Injection, error) {
	configuration, err := h.configurations.of(tenant, namespace)
	if err != nil {
		return nil, err
	}
	return inject.Compute(configuration, pod.Annotations())
}

// inject patches the pod, or the ephemeral containers that join it.
func (v *verdict) inject(request *reviewRequest, injection *inject.Injection) {
	var warnings []string
	if request.ephemeral() {
		v.operations, warnings = inject.PatchEphemeral(request.Object, request.OldObject, injection)
	} else {
		v.operations, warnings = inject.Patch(request.Object, injection)
	}
	v.warnings = slices.Concat(v.warnings, injection.Warnings, warnings)
}

// problemWith says what is wrong with a request that is not about a pod that is
// created, or about ephemeral containers that join one.
func problemWith(request *reviewRequest) string {
	pods := metav1.GroupVersionResource{Version: "v1", Resource: "pods"}
	created := request.SubResource == "" && request.Operation == admissionv1.Create
	switch {
	case request.Resource != pods, !created && !request.ephemeral():
		return fmt.Sprintf("the webhook configuration sends %s here, where CREATE of pods and UPDATE of pods/ephemeralcontainers belong",
			request.target())
	case request.Object == nil:
		return "request.object is missing"
	case request.ephemeral() && request.OldObject == nil:
		return "request.oldObject is missing"
	}
	return ""
}

// coverage returns a namespace, its EgressTenant (nil if there is none), and
// whether the NetworkPolicy between them stands.
//
// Where it does not, one is about to be written, and that rests on live facts
// alone: the caches of namespaces, tenants and policies advance independently.
// An old label or port beside a newer policy would bring back the policy of
// before, and with it a port that may be somebody else's by now.
func (h *Handler) coverage(ctx context.Context, name string) (inject.Namespace, *v1alpha1.EgressTenant, bool, error) {
	namespace, tenant, err := h.tenancy(ctx, name)
	if err != nil || tenant == nil {
		return namespace, tenant, false, err
	}
	covered, err := h.policyInSync(ctx, name, tenant)
	if err != nil || covered {
		return namespace, tenant, covered, err
	}
	if namespace, tenant, err = h.liveTenancy(ctx, name); err != nil || tenant == nil {
		return namespace, tenant, false, err
	}
	covered, err = h.policyInSync(ctx, name, tenant)
	return namespace, tenant, covered, err
}

// policyInSync reports whether the cache has the namespace's NetworkPolicy as
// the tenant requires it.
func (h *Handler) policyInSync(ctx context.Context, namespace string, tenant *v1alpha1.EgressTenant) (bool, error) {
	var cached networkingv1.NetworkPolicy
	key := client.ObjectKey{Namespace: namespace, Name: names.PolicyName}
	err := h.cache.Get(ctx, key, &cached, client.UnsafeDisableDeepCopy)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reading NetworkPolicy %s: %w", key, err)
	}
	return netpol.InSync(&cached, netpol.Build(tenant, namespace, h.settings)), nil
}

// tenancy returns a namespace and its EgressTenant, which is not to be changed,
// and nil if there is none. When the cache does not know the namespace, or not
// as that of a tenant which exists, it may merely lag: a namespace, its label
// and its first pod are often applied together.
func (h *Handler) tenancy(ctx context.Context, name string) (inject.Namespace, *v1alpha1.EgressTenant, error) {
	var cached corev1.Namespace
	if err := h.cache.Get(ctx, client.ObjectKey{Name: name}, &cached, client.UnsafeDisableDeepCopy); err == nil {
		namespace := h.namespace(&cached)
		if tenant, err := h.tenantOf(ctx, namespace); tenant != nil || err != nil {
			return namespace, tenant, err
		}
	}
	live, err := h.liveNamespace(ctx, name)
	if err != nil {
		return inject.Namespace{}, nil, err
	}
	tenant, err := h.tenantOf(ctx, live)
	return live, tenant, err
}

// liveTenancy is tenancy without the cache.
func (h *Handler) liveTenancy(ctx context.Context, name string) (inject.Namespace, *v1alpha1.EgressTenant, error) {
	namespace, err := h.liveNamespace(ctx, name)
	if err != nil {
		return inject.Namespace{}, nil, err
	}
	tenantName, _ := namespace.Tenant()
	if tenantName == "" {
		return namespace, nil, nil
	}
	tenant, err := h.liveTenant(ctx, tenantName)
	return namespace, tenant, err
}

func (h *Handler) liveNamespace(ctx context.Context, name string) (inject.Namespace, error) {
	var live corev1.Namespace
	if err := h.live.Get(ctx, client.ObjectKey{Name: name}, &live); err != nil {
		return inject.Namespace{}, fmt.Errorf("reading namespace %q: %w", name, err)
	}
	return h.namespace(&live), nil
}

func (h *Handler) namespace(object *corev1.Namespace) inject.Namespace {
	return inject.Namespace{Name: object.Name, Labels: object.Labels, Protected: h.settings.ProtectedNamespaces.Has(object.Name)}
}

// tenantOf reads the tenant that a namespace's label names, from the cache,
// then live; nil if there is none.
func (h *Handler) tenantOf(ctx context.Context, namespace inject.Namespace) (*v1alpha1.EgressTenant, error) {
	name, _ := namespace.Tenant()
	if name == "" {
		return nil, nil // a label may be empty, a name may not
	}
	var cached v1alpha1.EgressTenant
	if err := h.cache.Get(ctx, client.ObjectKey{Name: name}, &cached, client.UnsafeDisableDeepCopy); err == nil {
		return &cached, nil
	}
	return h.liveTenant(ctx, name)
}

// liveTenant returns nil if there is no such tenant.
func (h *Handler) liveTenant(ctx context.Context, name string) (*v1alpha1.EgressTenant, error) {
	var live v1alpha1.EgressTenant
	switch err := h.live.Get(ctx, client.ObjectKey{Name: name}, &live); {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading EgressTenant %q: %w", name, err)
	}
	return &live, nil
}

// tenantNames lists the tenants that there are.
func (h *Handler) tenantNames(ctx context.Context) ([]string, error) {
	var list v1alpha1.EgressTenantList
	if err := h.cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing EgressTenants: %w", err)
	}
	names := make([]string, 0, len(list.Items))
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return names, nil
}

// response writes the verdict for the API server.
func (v *verdict) response(uid types.UID) *admissionv1.AdmissionResponse {
	response := &admissionv1.AdmissionResponse{UID: uid, Allowed: v.decision.Action != inject.Deny, Warnings: v.warnings}
	if !response.Allowed {
		response.Result = v.status()
	}
	if len(v.operations) > 0 {
		patch, err := json.Marshal(plain(v.operations))
		if err != nil {
			panic(fmt.Sprintf("operations of strings do not fail to encode: %v", err))
		}
		patchType := admissionv1.PatchTypeJSONPatch
		response.Patch, response.PatchType = patch, &patchType
	}
	return response
}

// plainOperation encodes like an Operation that has a value, as all of ours do,
// without the Operation's own encoder: that calls the encoder anew for each, at
// a tenth of the whole answer's cost.
type plainOperation jsonpatch.Operation

func plain(operations []jsonpatch.Operation) []plainOperation {
	encoded := make([]plainOperation, len(operations))
	for i, operation := range operations {
		encoded[i] = plainOperation(operation)
	}
	return encoded
}

// status explains a refusal: in words, and in the one word of the reason to
// whoever reads causes.
func (v *verdict) status() *metav1.Status {
	status := &metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusForbidden,
		Reason:  metav1.StatusReasonForbidden,
		Message: v.decision.Message,
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: metav1.CauseType(v.decision.Reason)}}},
	}
	if v.decision.Reason == names.ReasonBadRequest {
		status.Code, status.Reason = http.StatusBadRequest, metav1.StatusReasonBadRequest
	}
	return status
}
