// Package coverage judges whether the pods and namespaces of tenants leave by the
// tenant's path alone.
package coverage

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/kubectl-egress/state"
)

// Kind is the coverage of a pod.
type Kind string

const (
	// Covered means that every container has the present proxy variables.
	Covered Kind = "Covered"
	// OptedOut means that the pod needs none: its label or its namespace turns
	// injection off. Its NetworkPolicy is the same.
	OptedOut Kind = "OptedOut"
	// Gateway means that the pod needs none because of the tenant's path: it leaves by
	// the Public Gateway, and its NetworkPolicy opens the public internet.
	Gateway Kind = "Gateway"
	// WithoutVariables means that a container has no proxy variable.
	WithoutVariables Kind = "WithoutVariables"
	// Outdated means that the pod was injected under another configuration.
	Outdated Kind = "Outdated"
	// Refused means that the webhook would refuse the pod today.
	Refused Kind = "Refused"
	// HostNetwork means that the pod is in its node's network, where no NetworkPolicy
	// applies.
	HostNetwork Kind = "HostNetwork"
	// Ended means that the pod does not run any more.
	Ended Kind = "Ended"
)

// Uncovered reports whether a pod of this kind needs an action.
func (k Kind) Uncovered() bool {
	return k == WithoutVariables || k == Outdated || k == Refused || k == HostNetwork
}

// Pod is the coverage of a pod.
type Pod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Kind      Kind   `json:"coverage"`
	Reason    string `json:"reason,omitempty"`
	Remedy    string `json:"remedy,omitempty"`
}

// OfPod judges a pod that exists in a namespace with a tenant label.
func OfPod(s *state.State, pod *corev1.Pod) (Pod, error) {
	result := Pod{Namespace: pod.Namespace, Name: pod.Name, Kind: Ended}
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return result, nil
	}
	namespace, _ := s.Namespace(pod.Namespace)
	raw, err := json.Marshal(pod)
	if err != nil {
		return result, err
	}
	decoded, err := state.Decode(raw)
	if err != nil {
		return result, fmt.Errorf("pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	admission := s.Admit(decoded, namespace)
	switch {
	case pod.Spec.HostNetwork:
		result.Kind, result.Reason = HostNetwork, "hostNetwork: true: the pod is in its node's network, where no NetworkPolicy applies"
		result.Remedy = "remove hostNetwork from the pod template, or the tenant label from the namespace"
	case admission.Action == inject.Deny:
		result.Kind, result.Reason = Refused, fmt.Sprintf("%s: %s", admission.Reason, admission.Message)
		result.Remedy = "correct it before the pod is created again: the webhook will refuse it"
	case admission.Reason == names.ReasonGatewayPath:
		result.Kind, result.Reason = Gateway, admission.Message
	case admission.Action == inject.Skip:
		result.Kind, result.Reason = OptedOut, admission.Message
	default:
		judgeInjection(&result, pod, admission.Injection, s.DirectHash(decoded, namespace))
	}
	return result, nil
}

// judgeInjection judges a pod by the injection of a new one. direct is the hash of a pod
// that was created before the tenant had a Service, and reaches the proxy as well.
func judgeInjection(result *Pod, pod *corev1.Pod, injection *inject.Injection, direct string) {
	restart := "create the pod again: kubectl rollout restart its workload, or delete the pod"
	lacking := lackingContainers(pod, injection.Skip)
	status, injected := statusOf(pod)
	switch {
	case len(lacking) > 0 && !injected:
		result.Kind, result.Remedy = WithoutVariables, restart
		result.Reason = "no proxy variables in " + enumerate(lacking) + ": the pod is older than the label of its namespace, or was created without the webhook"
	case len(lacking) > 0:
		result.Kind, result.Remedy = WithoutVariables, restart
		result.Reason = "no proxy variables in " + enumerate(lacking) + ", although the pod has the annotation " + names.AnnotationStatus
	case status.Hash != state.Hash(injection) && status.Hash != direct:
		result.Kind, result.Remedy = Outdated, restart
		result.Reason = "injected under another configuration of the tenant, the namespace or the webhook"
		if url := proxyURL(pod); url != "" && url != injection.ProxyURL {
			result.Reason = fmt.Sprintf("HTTP_PROXY is %s, and new pods get %s", url, injection.ProxyURL)
		}
	default:
		result.Kind = Covered
	}
}

// lackingContainers returns the names of the containers that have neither spelling of
// HTTP_PROXY, without the sidecar and those that the pod's annotation names.
func lackingContainers(pod *corev1.Pod, skip []string) []string {
	var lacking []string
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if container.Name != names.SidecarName && !slices.Contains(skip, container.Name) && !slices.ContainsFunc(container.Env, isProxy) {
			lacking = append(lacking, container.Name)
		}
	}
	return lacking
}

func isProxy(v corev1.EnvVar) bool { return strings.EqualFold(v.Name, "HTTP_PROXY") }

// proxyURL returns the first value of HTTP_PROXY in the pod.
func proxyURL(pod *corev1.Pod) string {
	for _, container := range pod.Spec.Containers {
		if i := slices.IndexFunc(container.Env, isProxy); i >= 0 {
			return container.Env[i].Value
		}
	}
	return ""
}

func statusOf(pod *corev1.Pod) (status names.InjectionStatus, injected bool) {
	text, injected := pod.Annotations[names.AnnotationStatus]
	if json.Unmarshal([]byte(text), &status) != nil {
		return names.InjectionStatus{}, false
	}
	return status, injected
}

// maxListed bounds the names in a sentence.
const maxListed = 8

func enumerate(list []string) string {
	if more := len(list) - maxListed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:maxListed], ", "), more)
	}
	return strings.Join(list, ", ")
}
