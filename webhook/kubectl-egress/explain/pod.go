// Package explain describes how the webhook treats a pod, a namespace or a tenant, and why.
package explain

import (
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/kubectl-egress/coverage"
	"egress.scw/webhook/kubectl-egress/state"
)

// Decision is the webhook's answer, with the remedy.
type Decision struct {
	Action  inject.Action `json:"action"`
	Reason  names.Reason  `json:"reason"`
	Message string        `json:"message"`
	Remedy  string        `json:"remedy,omitempty"`
}

// Pod is the explanation of a pod.
type Pod struct {
	// Object is the kind and name, as in "pod/web".
	Object    string `json:"object"`
	Namespace string `json:"namespace"`
	Tenant    string `json:"tenant,omitempty"`
	// Decision is about a pod that is created now.
	Decision Decision `json:"decision"`
	Warnings []string `json:"warnings,omitempty"`
	// Coverage is that of a pod that exists.
	Coverage *coverage.Pod `json:"coverage,omitempty"`
	// Sidecar is whether the pod has the sidecar, or gets it.
	Sidecar bool `json:"sidecar,omitempty"`
	// Containers have the variables of the pod that exists, or else those that it gets.
	// The sidecar is not one of them.
	Containers []Container `json:"containers"`
	// Patch are the operations of the webhook (RFC 6902), of a pod that is created now.
	Patch json.RawMessage `json:"patch,omitempty"`
	// Policy is nil without a NetworkPolicy of the webhook.
	Policy *Policy `json:"policy,omitempty"`
	URL    string  `json:"url,omitempty"`
}

// Negative reports whether the webhook refuses the pod, or the URL is closed from one of
// its containers.
func (p *Pod) Negative() bool {
	return p.Decision.Action == inject.Deny ||
		slices.ContainsFunc(p.Containers, func(c Container) bool { return c.Route != nil && c.Route.Open == Closed })
}

// OfManifest explains a pod of a file, which is to be created in the namespace. The
// target may be nil.
func OfManifest(s *state.State, manifest state.Manifest, namespace inject.Namespace, target *Target) (*Pod, error) {
	decoded, err := state.Decode(manifest.Pod)
	if err != nil {
		return nil, err
	}
	admission := s.Admit(decoded, namespace)
	patched, err := state.Apply(manifest.Pod, admission.Patch)
	if err != nil {
		return nil, err
	}
	result := newPod(s, manifest.Name, namespace, admission)
	err = result.complete(s, patched, namespace, target)
	if admission.Action == inject.Deny {
		err = nil // the pod may be refused because it cannot be read
	}
	return result, err
}

// OfPod explains a pod that exists. raw is its JSON.
func OfPod(s *state.State, raw []byte, target *Target) (*Pod, error) {
	var pod corev1.Pod
	if err := json.Unmarshal(raw, &pod); err != nil {
		return nil, fmt.Errorf("reading the pod: %w", err)
	}
	decoded, err := state.Decode(raw)
	if err != nil {
		return nil, err
	}
	namespace, _ := s.Namespace(pod.Namespace)
	result := newPod(s, "pod/"+pod.Name, namespace, s.Admit(decoded, namespace))
	result.Patch = nil // the pod exists
	if _, labelled := namespace.Tenant(); labelled {
		covered, err := coverage.OfPod(s, &pod)
		if err != nil {
			return nil, err
		}
		result.Coverage = &covered
	}
	return result, result.complete(s, raw, namespace, target)
}

func newPod(s *state.State, object string, namespace inject.Namespace, admission state.Admission) *Pod {
	tenant, _ := namespace.Tenant()
	result := &Pod{
		Object: object, Namespace: namespace.Name, Tenant: tenant, Warnings: admission.Warnings,
		Decision: Decision{admission.Action, admission.Reason, admission.Message, Remedy(admission.Reason)},
		Patch:    admission.Patch.JSON,
	}
	result.Policy, _ = policyOf(s, namespace)
	return result
}

// complete adds the containers of the pod's JSON, and their routes.
func (p *Pod) complete(s *state.State, raw []byte, namespace inject.Namespace, target *Target) error {
	var pod corev1.Pod
	if err := json.Unmarshal(raw, &pod); err != nil {
		return fmt.Errorf("reading the pod: %w", err)
	}
	p.Containers = containers(&pod)
	p.Sidecar = slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == names.SidecarName })
	if target == nil {
		return nil
	}
	p.URL = target.URL.String()
	ways := waysOf(s, namespace, p.Sidecar)
	for i := range p.Containers {
		route := ways.routeOf(&p.Containers[i], *target)
		p.Containers[i].Route = &route
	}
	return nil
}
