package admission

import (
	"context"
	"errors"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admission/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
)

// decision is the answer to one request.
type decision struct {
	inject.Decision
	// tenant is the name of the pod's EgressTenant, for the log.
	tenant string
	patch  inject.Patch
	// free releases the share of the budget for the patch. It is nil without one.
	free func()
}

// release releases what the decision holds, once it has been sent.
func (d *decision) release() {
	if d.free != nil {
		d.free()
	}
}

// decide returns the decision about one request. The patch is written into the
// buffer. The error names an object that could not be read or written, so that
// no decision is possible, or is errBusy.
//
// Policy before pod: a pod is admitted into a tenant's namespace, injected or
// not, only when the namespace's NetworkPolicy exists.
func (h *Handler) decide(ctx context.Context, request *reviewRequest, buffer []byte) (*decision, error) {
	if problem := problemWith(request); problem != "" {
		return &decision{Decision: inject.Decision{Action: inject.Deny, Reason: names.ReasonBadRequest, Message: problem}}, nil
	}
	t, err := h.tenancyOf(ctx, request)
	if err != nil {
		return nil, err
	}
	if request.updates() {
		return h.decideUpdate(ctx, request, t, buffer)
	}
	pod := request.judged()
	d := &decision{Decision: inject.Decide(pod, t.namespace, t.tenant)}
	if t.tenant == nil || d.Action == inject.Deny {
		return d, nil
	}
	d.tenant = t.tenant.Name
	placed := !request.ephemeral() && d.Reason != names.ReasonMirrorPod // the pod is about to be scheduled
	if refusal := inject.NodePoolConflict(request.Object, t.tenant); refusal != nil && placed {
		d.Decision = refusal.Decision()
		return d, nil
	}
	if !t.policyInSync {
		if err := h.policies.Ensure(ctx, t.namespace.Name, t.tenant, request.DryRun); err != nil {
			return nil, fmt.Errorf("namespace %s has no NetworkPolicy yet, without which no pod of EgressTenant %s is admitted: %w",
				t.namespace.Name, t.tenant.Name, err)
		}
	}
	if d.Action == inject.Skip {
		if placed {
			d.patch = inject.NewNodePoolPatch(request.Object, t.tenant, buffer)
		}
		return d, nil
	}
	injection, err := h.injection(ctx, h.withService(ctx, t.tenant), t.namespace.Name, pod)
	if err == nil && !request.ephemeral() {
		err = injection.Examine(request.Object, request.body)
	}
	if refusal, ok := errors.AsType[*inject.Refusal](err); ok {
		warnings := d.Warnings
		d.Decision = refusal.Decision()
		d.Warnings = warnings
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	if size := injection.PatchBytes(pod); size > usualPatchBytes {
		if d.free, err = h.budget.patch(ctx, patchShare*int64(size)); err != nil {
			return nil, err
		}
	}
	d.inject(request, pod, injection, buffer)
	return d, nil
}

const (
	// usualPatchBytes bounds a patch that is computed without a share of the
	// budget: some 20 containers.
	usualPatchBytes = 16 << 10
	// patchShare is the memory for a patch and its answer, as a multiple of the
	// patch: the patch while its buffer grows, and in base64.
	patchShare = 4
)

func (h *Handler) injection(ctx context.Context, tenant *v1alpha1.EgressTenant, namespace string, pod *inject.Pod) (*inject.Injection, error) {
	neighbours, err := h.neighbours.Of(ctx, tenant.Name, namespace)
	if err != nil {
		return nil, err
	}
	template, err := h.templates.of(tenant, namespace, neighbours)
	if err != nil {
		return nil, err
	}
	return template.Compute(pod.Annotations())
}

// inject adds the patch of the pod, or of the ephemeral containers that are
// added to it.
func (d *decision) inject(request *reviewRequest, pod *inject.Pod, injection *inject.Injection, buffer []byte) {
	if request.ephemeral() {
		d.patch = inject.NewEphemeralPatch(pod, request.OldObject, injection, buffer)
	} else {
		d.patch = inject.NewPatch(pod, injection, buffer)
	}
	d.Warnings = slices.Concat(d.Warnings, injection.Warnings, d.patch.Warnings)
}

// decideUpdate returns the decision about a request that updates a pod. It refuses
// nothing, and needs no policy: the pod is there already.
func (h *Handler) decideUpdate(ctx context.Context, request *reviewRequest, t tenancy, buffer []byte) (*decision, error) {
	d := &decision{Decision: inject.Decision{
		Action: inject.Skip, Reason: names.ReasonPodUpdated, Message: "the pod is updated, and keeps the variables and the node pool that it has",
	}}
	if t.tenant == nil || t.namespace.Protected {
		return d, nil
	}
	d.tenant = t.tenant.Name
	d.patch = inject.NewNodePoolUpdatePatch(request.Object, request.OldObject, t.tenant, buffer)
	if !t.tenant.Spec.IsProxied() {
		return d, nil
	}
	injection, err := h.injection(ctx, t.tenant, t.namespace.Name, request.OldObject)
	if _, refused := errors.AsType[*inject.Refusal](err); refused {
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	if injection.NeedsDetails() {
		// The API server decides about a pod that cannot be read: nothing is restored.
		_ = request.Object.ReadDetails(request.body)
		_ = request.OldObject.ReadDetails(request.body)
	}
	d.patch = inject.NewUpdatePatch(request.Object, request.OldObject, injection, buffer)
	return d, nil
}

// problemWith returns a sentence about a request that neither creates nor updates a
// pod, nor adds ephemeral containers to one, and "" about any other.
func problemWith(request *reviewRequest) string {
	pods := groupVersionResource{Version: "v1", Resource: "pods"}
	created := request.SubResource == "" && request.Operation == string(admissionv1.Create)
	switch {
	case request.Resource != pods, !created && !request.updates() && !request.ephemeral():
		return fmt.Sprintf("the webhook configuration sends %s here, where CREATE and UPDATE of pods and UPDATE of pods/ephemeralcontainers belong",
			request.target())
	case request.Object == nil:
		return "request.object is missing"
	case !created && request.OldObject == nil:
		return "request.oldObject is missing"
	}
	return ""
}
