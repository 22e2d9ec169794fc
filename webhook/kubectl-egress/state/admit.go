package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	jsonpatch "github.com/evanphx/json-patch/v5"
	jsonv2 "github.com/go-json-experiment/json"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/inject"
)

// Admission is the webhook's answer about a pod that is created.
type Admission struct {
	inject.Decision
	// Injection is nil if the pod gets no variables.
	Injection *inject.Injection
	Patch     inject.Patch
}

// Pod is the part of a pod that decisions depend on.
type Pod struct {
	*inject.Pod
	text []byte // that it was decoded from
}

// Decode reads a pod's JSON.
func Decode(pod []byte) (*Pod, error) {
	decoded := &Pod{new(inject.Pod), pod}
	if err := jsonv2.Unmarshal(pod, decoded.Pod, inject.DecodeOptions); err != nil {
		return nil, fmt.Errorf("reading the pod: %w", err)
	}
	return decoded, nil
}

// Admit returns the answer about a pod that is created in the namespace, as the
// webhook's handler gives it, but for the NetworkPolicy that the handler writes first.
func (s *State) Admit(pod *Pod, namespace inject.Namespace) Admission {
	tenant := s.TenantOf(namespace)
	admission := Admission{Decision: inject.Decide(pod.Pod, namespace, tenant)}
	if tenant == nil || admission.Action == inject.Deny {
		return admission
	}
	placed := admission.Reason != names.ReasonMirrorPod
	if refusal := inject.NodePoolConflict(pod.Pod, tenant); refusal != nil && placed {
		return Admission{Decision: refusal.Decision()}
	}
	if admission.Action == inject.Skip {
		if placed {
			admission.Patch = inject.NewNodePoolPatch(pod.Pod, tenant, nil)
		}
		return admission
	}
	template, err := inject.NewTemplate(s.Cluster, tenant, namespace.Name, s.neighbours(tenant.Name, namespace.Name))
	if err == nil {
		admission.Injection, err = template.Compute(pod.Annotations())
	}
	if err == nil {
		err = admission.Injection.Examine(pod.Pod, pod.text)
	}
	if refusal, ok := errors.AsType[*inject.Refusal](err); ok {
		warnings := admission.Warnings
		admission = Admission{Decision: refusal.Decision()}
		admission.Warnings = warnings
		return admission
	}
	admission.Patch = inject.NewPatch(pod.Pod, admission.Injection, nil)
	admission.Warnings = slices.Concat(admission.Warnings, admission.Injection.Warnings, admission.Patch.Warnings)
	return admission
}

// Hash returns the hash of the configuration that an injection applies.
func Hash(injection *inject.Injection) string {
	var status names.InjectionStatus
	if json.Unmarshal([]byte(injection.Status), &status) != nil {
		return ""
	}
	return status.Hash
}

// DirectHash returns the hash of the configuration that the pod got, or would get, while
// its tenant has no Service. It is empty if the pod gets no variables.
func (s *State) DirectHash(pod *Pod, namespace inject.Namespace) string {
	tenant := s.TenantOf(namespace)
	if tenant == nil {
		return ""
	}
	former := tenant.DeepCopy()
	former.Status.ServiceIP = ""
	template, err := inject.NewTemplate(s.Cluster, former, namespace.Name, s.neighbours(tenant.Name, namespace.Name))
	if err != nil {
		return ""
	}
	injection, err := template.Compute(pod.Annotations())
	if err != nil {
		return ""
	}
	return Hash(injection)
}

// Apply applies a patch to a pod's JSON, as the API server does.
func Apply(pod []byte, patch inject.Patch) ([]byte, error) {
	if patch.Operations == 0 {
		return pod, nil
	}
	decoded, err := jsonpatch.DecodePatch(patch.JSON)
	if err != nil {
		return nil, fmt.Errorf("reading the patch: %w", err)
	}
	patched, err := decoded.Apply(pod)
	if err != nil {
		return nil, fmt.Errorf("applying the patch to the pod: %w", err)
	}
	return patched, nil
}
