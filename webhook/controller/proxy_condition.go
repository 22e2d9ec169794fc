package controller

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// proxyFacts are a tenant's inputs from the proxy. They are comparable.
type proxyFacts struct {
	reason  names.Reason
	message string
	// admitted is whether NetworkPolicies may admit the tenant's pods to its port.
	admitted bool
}

// condition returns the condition ProxyReachable.
func (f proxyFacts) condition() metav1.Condition {
	condition := metav1.Condition{Type: names.ConditionProxyReachable, Status: metav1.ConditionFalse, Reason: string(f.reason), Message: f.message}
	if f.reason == names.ReasonProxyReachable {
		condition.Status = metav1.ConditionTrue
	}
	return condition
}

// proxyAnswer is the answer of one proxy about a tenant's port.
type proxyAnswer struct {
	address netip.Addr
	portAnswer
}

// judge compares the answers of all proxies on a tenant's port with the tenant. blocked
// describes the users of the port that keep it from passing to the tenant.
func judge(tenant *v1alpha1.EgressTenant, answers []proxyAnswer, blocked string) proxyFacts {
	port := tenant.Spec.ProxyPort()
	wanted := v1alpha1.Tenant{Name: tenant.Name, EgressTenantSpec: tenant.Spec}.Revision()
	var silent, other []string
	for _, answer := range answers {
		switch {
		case answer.err != "":
			silent = append(silent, fmt.Sprintf("%s: %s", netip.AddrPortFrom(answer.address, uint16(port)), answer.err)) //nolint:gosec // isTenantPort
		case answer.revision == wanted:
		case answer.tenant != tenant.Name:
			other = append(other, fmt.Sprintf("the proxy %s serves tenant %q on port %d", answer.address, answer.tenant, port))
		default:
			other = append(other, fmt.Sprintf("the proxy %s serves revision %s of the tenant, and the EgressTenant is revision %s",
				answer.address, answer.revision, wanted))
		}
	}
	switch {
	case len(silent) > 0:
		message := "The proxy does not answer on the tenant's port: " + strings.Join(silent, "; ")
		if tenant.AdmittedPort() == 0 {
			message += ". The proxy opens a port that was another tenant's once no pods are admitted to it" + blocked
		}
		return proxyFacts{reason: names.ReasonProxyUnreachable, message: message}
	case len(other) > 0:
		return proxyFacts{reason: names.ReasonProxyOutOfSync, message: "The tenant differs from the proxy: " + strings.Join(other, "; ") +
			". Run bootstrap apply with the egress.yaml that contains this EgressTenant; if egress.yaml is the newer one, write the EgressTenant again"}
	}
	return proxyFacts{reason: names.ReasonProxyReachable, message: fmt.Sprintf("Port %d of the proxy serves the tenant's revision %s", port, wanted)}
}

// serves returns the time since which all proxies are known to serve the tenant on its
// port, in whatever revision. It is false if one of them is not.
func serves(tenant *v1alpha1.EgressTenant, answers []proxyAnswer) (asked time.Time, ok bool) {
	wanted := v1alpha1.Tenant{Name: tenant.Name, EgressTenantSpec: tenant.Spec}.Revision()
	for i, answer := range answers {
		if answer.err != "" || (answer.tenant != tenant.Name && answer.revision != wanted) {
			return time.Time{}, false
		}
		if i == 0 || answer.asked.Before(asked) {
			asked = answer.asked
		}
	}
	return asked, len(answers) > 0
}
