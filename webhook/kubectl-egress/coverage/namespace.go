package coverage

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/kubectl-egress/state"
	"egress.scw/webhook/settings"
)

// The labels of Kubernetes that select the enforced Pod Security Standard, and the version
// of Kubernetes whose definition of it applies: that of the cluster without the label.
const (
	podSecurityLabel        = "pod-security.kubernetes.io/enforce"
	podSecurityVersionLabel = "pod-security.kubernetes.io/enforce-version"
	latestPodSecurity       = "latest"
)

// Finding is a fault that leaves something uncovered.
type Finding struct {
	// Object is what the finding is about, as in "namespace/orders".
	Object  string `json:"object"`
	Message string `json:"message"`
	Remedy  string `json:"remedy"`
}

// OfNamespace returns the faults of a namespace with a tenant label, apart from those
// of its pods.
func OfNamespace(s *state.State, namespace inject.Namespace) []Finding {
	object := "namespace/" + namespace.Name
	tenant, labelled := namespace.Tenant()
	if !labelled {
		return nil
	}
	unlabel := fmt.Sprintf("kubectl label namespace %s %s-", namespace.Name, names.LabelTenant)
	if namespace.Protected {
		return []Finding{{object, fmt.Sprintf("is protected, so that its label %s=%s has no effect", names.LabelTenant, tenant), unlabel}}
	}
	var findings []Finding
	if s.TenantOf(namespace) == nil {
		findings = append(findings, Finding{
			object, fmt.Sprintf("has the label %s=%s, and there is no such EgressTenant: its pods have no egress, and new ones are refused", names.LabelTenant, tenant),
			"create the EgressTenant, or correct the label",
		})
	}
	const restore = "the webhook restores the policy within seconds: look at its Deployment in the release namespace, and at events of the namespace"
	switch s.PolicyStateOf(namespace) {
	case state.PolicyMissing:
		findings = append(findings, Finding{object, fmt.Sprintf("has no NetworkPolicy %s: every egress path is open", names.PolicyName), restore})
	case state.PolicyOutOfSync:
		findings = append(findings, Finding{object, fmt.Sprintf("NetworkPolicy %s differs from the one that the tenant requires", names.PolicyName), restore})
	case state.PolicyInSync, state.PolicyNone, state.PolicyUnknown:
	}
	for _, policy := range s.Foreign[namespace.Name] {
		findings = append(findings, Finding{object, policy + " opens egress paths beside the tenant's", "remove the egress rules from the policy"})
	}
	return append(findings, podSecurity(object, namespace, s.Settings.Namespaces.PodSecurity)...)
}

// podSecurity returns the faults of a namespace's Pod Security Standard, which the webhook
// corrects when the namespace gets the tenant label.
func podSecurity(object string, namespace inject.Namespace, level settings.PodSecurity) []Finding {
	if level == "" || level == settings.PodSecurityOff {
		return nil
	}
	var findings []Finding
	overwrite := func(label, value string) string {
		return fmt.Sprintf("kubectl label --overwrite namespace %s %s=%s", namespace.Name, label, value)
	}
	if !hasPodSecurity(namespace.Labels[podSecurityLabel], level) {
		findings = append(findings, Finding{
			object, fmt.Sprintf("has no label %s=%s: pods may leave their network namespace", podSecurityLabel, level), overwrite(podSecurityLabel, string(level)),
		})
	}
	if version, pinned := namespace.Labels[podSecurityVersionLabel]; pinned && version != latestPodSecurity {
		findings = append(findings, Finding{
			object, fmt.Sprintf("has the label %s=%s: an older version of the standard may admit pods that leave their network namespace", podSecurityVersionLabel, version),
			overwrite(podSecurityVersionLabel, latestPodSecurity),
		})
	}
	return findings
}

// hasPodSecurity reports whether a namespace's level is the wanted one or a stricter
// one.
func hasPodSecurity(level string, wanted settings.PodSecurity) bool {
	order := []settings.PodSecurity{settings.PodSecurityBaseline, settings.PodSecurityRestricted}
	return slices.Index(order, settings.PodSecurity(level)) >= slices.Index(order, wanted)
}

// OfCluster returns the faults that concern all tenants.
func OfCluster(s *state.State) []Finding {
	var findings []Finding
	if len(s.MissingGuards) > 0 {
		findings = append(findings, Finding{
			"guards", "have no binding, so that admins of tenants' namespaces can open them: " + enumerate(s.MissingGuards),
			"turn them on in the chart's value guards",
		})
	}
	return findings
}

// OfWebhook returns the fault of a webhook without a ready replica. The status of the
// tenants is the webhook's: it stays as it was last.
func OfWebhook(s *state.State) []Finding {
	if s.Webhook == nil || s.Webhook.Ready > 0 {
		return nil
	}
	return []Finding{{
		"deployment/" + s.Webhook.Name,
		"has no ready replica: new pods of tenants are refused, policies are not restored, and the status of tenants stays as it was last",
		"kubectl --namespace " + strings.Replace(s.Webhook.Name, "/", " describe deployment ", 1),
	}}
}

// Counts are the numbers of pods of one namespace or tenant.
type Counts struct {
	// Pods are those that run or wait.
	Pods             int `json:"pods"`
	Covered          int `json:"covered"`
	OptedOut         int `json:"optedOut"`
	Gateway          int `json:"gateway"`
	WithoutVariables int `json:"withoutVariables"`
	Outdated         int `json:"outdated"`
	Refused          int `json:"refused"`
	HostNetwork      int `json:"hostNetwork"`
}

// Add counts a pod.
func (c *Counts) Add(kind Kind) {
	if kind == Ended {
		return
	}
	c.Pods++
	switch kind {
	case Covered:
		c.Covered++
	case OptedOut:
		c.OptedOut++
	case Gateway:
		c.Gateway++
	case WithoutVariables:
		c.WithoutVariables++
	case Outdated:
		c.Outdated++
	case Refused:
		c.Refused++
	case HostNetwork:
		c.HostNetwork++
	case Ended:
	}
}

// Uncovered is the number of pods that need an action.
func (c *Counts) Uncovered() int { return c.WithoutVariables + c.Outdated + c.Refused + c.HostNetwork }

// Merge adds other counts.
func (c *Counts) Merge(other Counts) {
	c.Pods += other.Pods
	c.Covered += other.Covered
	c.OptedOut += other.OptedOut
	c.Gateway += other.Gateway
	c.WithoutVariables += other.WithoutVariables
	c.Outdated += other.Outdated
	c.Refused += other.Refused
	c.HostNetwork += other.HostNetwork
}

// Labelled reports whether a namespace has the tenant label.
func Labelled(namespace *corev1.Namespace) bool {
	_, labelled := namespace.Labels[names.LabelTenant]
	return labelled
}
