package controller

import (
	"fmt"
	"net/netip"
	"slices"
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
	// spare is whether the spare machine answers, and so may be the endpoint of the tenant's
	// Service.
	spare bool
}

// condition returns the condition ProxyReachable.
func (f proxyFacts) condition() metav1.Condition {
	condition := metav1.Condition{Type: names.ConditionProxyReachable, Status: metav1.ConditionFalse, Reason: string(f.reason), Message: f.message}
	if f.reason == names.ReasonProxyReachable {
		condition.Status = metav1.ConditionTrue
	}
	return condition
}

// proxyAnswer is the answer of one proxy about a tenant, and the address and port that
// gave it: the port for the state of the machine, or the tenant's.
type proxyAnswer struct {
	proxy netip.AddrPort
	portAnswer
}

func revisionOf(tenant *v1alpha1.EgressTenant) string {
	return v1alpha1.Tenant{Name: tenant.Name, EgressTenantSpec: tenant.Spec}.Revision()
}

// judge compares the answers of all proxies about a tenant with the tenant. blocked
// describes the users of the port that keep it from passing to the tenant.
//
// A machine that serves another list, or another tenant, makes the tenant out of sync,
// whatever the others serve. Without one, a single machine that serves the tenant is
// sufficient, once its pods are admitted to the port; all of them must, before they are.
func judge(tenant *v1alpha1.EgressTenant, answers []proxyAnswer, blocked string) proxyFacts {
	port, wanted := tenant.Spec.ProxyPort(), revisionOf(tenant)
	var silent, other []string
	for _, answer := range answers {
		switch {
		case answer.err != "":
			silent = append(silent, fmt.Sprintf("%s: %s", answer.proxy, answer.err))
		case answer.revision == wanted:
		default:
			other = append(other, difference(tenant, answer, wanted))
		}
	}
	waits := tenant.AdmittedPort() == 0
	switch {
	case len(other) > 0:
		return proxyFacts{reason: names.ReasonProxyOutOfSync, message: "The tenant differs from the proxy: " + strings.Join(slices.Concat(other, silent), "; ") +
			". Run bootstrap apply with the egress.yaml that contains this EgressTenant; if egress.yaml is the newer one, write the EgressTenant again"}
	case len(silent) == len(answers), len(silent) > 0 && waits:
		message := "The proxy does not answer: " + strings.Join(silent, "; ")
		if waits {
			message += ". The proxy opens a port that was another tenant's once no pods are admitted to it" + blocked
		}
		return proxyFacts{reason: names.ReasonProxyUnreachable, message: message}
	}
	message := fmt.Sprintf("Port %d of the proxy serves the tenant's revision %s", port, wanted)
	if len(silent) > 0 {
		message += ", but a machine does not answer: " + strings.Join(silent, "; ")
	}
	return proxyFacts{reason: names.ReasonProxyReachable, message: message}
}

// difference describes the answer of a proxy that does not serve the wanted revision.
func difference(tenant *v1alpha1.EgressTenant, answer proxyAnswer, wanted string) string {
	address, port := answer.proxy.Addr(), tenant.Spec.ProxyPort()
	switch answer.tenant {
	case "":
		return fmt.Sprintf("the proxy %s serves no tenant on port %d", address, port)
	case tenant.Name:
		return fmt.Sprintf("the proxy %s serves revision %s of the tenant, and the EgressTenant is revision %s", address, answer.revision, wanted)
	}
	return fmt.Sprintf("the proxy %s serves tenant %q on port %d", address, answer.tenant, port)
}

// serves returns the time since which all proxies that gave the answers are known to
// serve the tenant on its port, in whatever revision. It is false if one of them is not.
// The answers are those of the port itself.
func serves(tenant *v1alpha1.EgressTenant, answers []proxyAnswer) (asked time.Time, ok bool) {
	wanted := revisionOf(tenant)
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
