package inject

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// decideByOptOut decides by the label of the pod, or else by label and annotation of
// its namespace. Without injection, a pod has no egress but that of its NetworkPolicy,
// so that anyone may turn it off.
func decideByOptOut(pod *Pod, namespace Namespace, tenant *v1alpha1.EgressTenant) Decision {
	decision := Decision{
		Action: Inject, Reason: names.ReasonInjected,
		Message: "the pod is given the proxy of EgressTenant " + tenant.Name,
	}
	value, labelled := pod.labels()[names.LabelInject]
	if !labelled {
		return decideByNamespace(pod, namespace, decision)
	}
	switch value {
	case "true":
	case "false":
		return Decision{
			Action: Skip, Reason: names.ReasonOptedOut,
			Message: fmt.Sprintf("the pod has the label %s=false; the NetworkPolicy applies all the same", names.LabelInject),
		}
	default:
		decision.Warnings = []string{
			fmt.Sprintf("label %s is %q: only \"false\" turns injection off, so the pod is injected", names.LabelInject, shown(value)),
		}
	}
	return decision
}

func decideByNamespace(pod *Pod, namespace Namespace, decision Decision) Decision {
	value, labelled := namespace.Labels[names.LabelInject]
	switch {
	case value == "false":
		return Decision{
			Action: Skip, Reason: names.ReasonNamespaceOptedOut,
			Message: fmt.Sprintf("namespace %s has the label %s=false; the NetworkPolicy applies all the same", namespace.Name, names.LabelInject),
		}
	case labelled && value != "true":
		decision.Warnings = []string{
			fmt.Sprintf("label %s of namespace %s is %q: only \"false\" turns injection off, so the pod is injected", names.LabelInject, namespace.Name, value),
		}
	}
	skipped := namespace.Annotations[names.AnnotationSkipOwners]
	if skipped == "" {
		return decision
	}
	if owner := pod.owner(); owner != "" && slices.Contains(splitNames(skipped), owner) {
		return Decision{
			Action: Skip, Reason: names.ReasonNamespaceOptedOut,
			Message: fmt.Sprintf("the pod belongs to a %s, which annotation %s of namespace %s lists; the NetworkPolicy applies all the same",
				owner, names.AnnotationSkipOwners, namespace.Name),
		}
	}
	return decision
}

// owner returns the kind of the object that controls the pod as KIND.GROUP, or as
// KIND for the core group. It is empty if there is none, or if the references cannot
// be read: the API server decides about them.
func (p *Pod) owner() string {
	if p.Metadata == nil || p.Metadata.OwnerReferences.json == nil {
		return ""
	}
	var references []struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Controller bool   `json:"controller"`
	}
	if json.Unmarshal(p.Metadata.OwnerReferences.json, &references, jsontext.AllowInvalidUTF8(true)) != nil {
		return ""
	}
	for _, reference := range references {
		if !reference.Controller {
			continue
		}
		if group, _, grouped := strings.Cut(reference.APIVersion, "/"); grouped {
			return reference.Kind + "." + group
		}
		return reference.Kind
	}
	return ""
}
