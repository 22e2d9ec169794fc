package verify

import (
	"fmt"
	"slices"
	"strings"

	"egress.scw/webhook/kubectl-egress/coverage"
)

// messages joins findings; the remedy is that of the first.
func messages(findings []coverage.Finding) (message, remedy string) {
	var texts []string
	for _, finding := range findings {
		texts = append(texts, finding.Object+" "+finding.Message)
	}
	if len(findings) > 0 {
		remedy = findings[0].Remedy
	}
	return strings.Join(texts, "; "), remedy
}

func (j *judge) ready() (message, remedy string) {
	findings := slices.Concat(coverage.OfWebhook(j.State), coverage.OfTenant(j.State, j.Tenant))
	return messages(slices.DeleteFunc(findings, coverage.Finding.IsUnpublished))
}

func (j *judge) published() (message, remedy string) {
	findings := coverage.OfTenant(j.State, j.Tenant)
	return messages(slices.DeleteFunc(findings, func(f coverage.Finding) bool { return !f.IsUnpublished() }))
}

func (j *judge) guards() (message, remedy string) { return messages(coverage.OfCluster(j.State)) }

func (j *judge) policy() (message, remedy string) {
	var findings []coverage.Finding
	for _, name := range j.State.NamespacesOf(j.Tenant.Name) {
		namespace, _ := j.State.Namespace(name)
		findings = append(findings, coverage.OfNamespace(j.State, namespace)...)
	}
	return messages(findings)
}

func (j *judge) pods() (message, remedy string) {
	const most = 5
	var texts []string
	uncovered := 0
	for _, pod := range j.Pods {
		if !pod.Kind.Uncovered() {
			continue
		}
		if uncovered++; uncovered <= most {
			texts, remedy = append(texts, fmt.Sprintf("pod %s/%s: %s: %s", pod.Namespace, pod.Name, pod.Kind, pod.Reason)), pod.Remedy
		}
	}
	if uncovered > most {
		texts = append(texts, fmt.Sprintf("and %d more pods", uncovered-most))
	}
	return strings.Join(texts, "; "), remedy
}
