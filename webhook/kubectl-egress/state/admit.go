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

// Decode reads the part of a pod's JSON that decisions depend on.
func Decode(pod []byte) (*inject.Pod, error) {
	decoded := &inject.Pod{}
	if err := jsonv2.Unmarshal(pod, decoded, inject.DecodeOptions); err != nil {
		return nil, fmt.Errorf("reading the pod: %w", err)
	}
	return decoded, nil
}

// Admit returns the answer about a pod that is created in the namespace, as the
// webhook's handler gives it, but for the NetworkPolicy that the handler writes first.
func (s *State) Admit(pod *inject.Pod, namespace inject.Namespace) Admission {
	tenant := s.TenantOf(namespace)
	admission := Admission{Decision: inject.Decide(pod, namespace, tenant)}
	if tenant == nil || admission.Action == inject.Deny {
		return admission
	}
	placed := admission.Reason != names.ReasonMirrorPod
	if refusal := inject.NodePoolConflict(pod, tenant); refusal != nil && placed {
		return Admission{Decision: refusal.Decision()}
	}
	if admission.Action == inject.Skip {
		if placed {
			admission.Patch = inject.NewNodePoolPatch(pod, tenant, nil)
		}
		return admission
	}
	template, err := inject.NewTemplate(s.Cluster, tenant, namespace.Name, s.neighbours(tenant.Name, namespace.Name))
	if err == nil {
		admission.Injection, err = template.Compute(pod.Annotations())
	}
	if refusal, ok := errors.AsType[*inject.Refusal](err); ok {
		warnings := admission.Warnings
		admission = Admission{Decision: refusal.Decision()}
		admission.Warnings = warnings
		return admission
	}
	admission.Patch = inject.NewPatch(pod, admission.Injection, nil)
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
