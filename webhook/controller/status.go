package controller

import (
	"fmt"
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// namesInMessage bounds how many names a condition's message spells out: it is
// read on a terminal, and the API server refuses more than 32 KiB.
const namesInMessage = 8

// tenantFacts is what a tenant's status rests on. Names are sorted.
type tenantFacts struct {
	tenant *v1alpha1.EgressTenant
	// portHolders are the other tenants that have the same port.
	portHolders []string
	// namespaces carry the tenant's label, and are not protected.
	namespaces []string
	// protected carry it although they can belong to no tenant.
	protected []string
	// uncovered are those of namespaces where the NetworkPolicy does not stand
	// as it should, although they are not being deleted.
	uncovered []string
	// proxyURL is what the tenant's pods find in HTTP_PROXY.
	proxyURL string
	// egressIPs are the addresses published for the tenant's requests.
	egressIPs []netip.Addr
}

// tenantStatus computes the whole status. The tenant's current one only serves
// to keep the time of conditions that did not change.
func tenantStatus(facts tenantFacts, now metav1.Time) v1alpha1.EgressTenantStatus {
	tenant := facts.tenant
	status := v1alpha1.EgressTenantStatus{
		ObservedGeneration: tenant.Generation,
		Conditions:         tenant.Status.DeepCopy().Conditions,
		Namespaces:         facts.namespaces,
	}
	invalid := tenant.Validate()
	if len(invalid) == 0 {
		status.ProxyURL = facts.proxyURL
		for _, address := range facts.egressIPs {
			status.EgressIPs = append(status.EgressIPs, address.String())
		}
	}
	applied := policyAppliedCondition(facts)
	for _, condition := range []metav1.Condition{applied, readyCondition(facts, invalid, applied)} {
		condition.ObservedGeneration = tenant.Generation
		condition.LastTransitionTime = now
		meta.SetStatusCondition(&status.Conditions, condition)
	}
	return status
}

func policyAppliedCondition(facts tenantFacts) metav1.Condition {
	condition := metav1.Condition{Type: names.ConditionPolicyApplied, Status: metav1.ConditionTrue, Reason: string(names.ReasonPolicyApplied)}
	switch {
	case len(facts.uncovered) > 0:
		condition.Status, condition.Reason = metav1.ConditionFalse, string(names.ReasonPolicyNotApplied)
		condition.Message = fmt.Sprintf("NetworkPolicy %s is missing, or not as it should be, in %s",
			names.PolicyName, enumerate(facts.uncovered))
	case len(facts.namespaces) == 0 && len(facts.protected) > 0:
		condition.Message = fmt.Sprintf("Only protected namespaces carry the label %s=%s", names.LabelTenant, facts.tenant.Name)
	case len(facts.namespaces) == 0:
		condition.Message = fmt.Sprintf("No namespace carries the label %s=%s", names.LabelTenant, facts.tenant.Name)
	default:
		condition.Message = fmt.Sprintf("NetworkPolicy %s stands in every namespace of the tenant (%d)",
			names.PolicyName, len(facts.namespaces))
	}
	return condition
}

func readyCondition(facts tenantFacts, invalid field.ErrorList, applied metav1.Condition) metav1.Condition {
	condition := metav1.Condition{Type: names.ConditionReady, Status: metav1.ConditionFalse}
	switch {
	case len(invalid) > 0:
		condition.Reason, condition.Message = string(names.ReasonInvalidSpec), enumerateErrors(invalid)
	case len(facts.portHolders) > 0:
		condition.Reason = string(names.ReasonPortConflict)
		condition.Message = fmt.Sprintf("Port %d is also that of %s: the proxy tells tenants apart by their port, so give each its own in spec.proxy.port",
			facts.tenant.Spec.Proxy.Port, enumerate(facts.portHolders))
	case len(facts.protected) > 0:
		condition.Reason = string(names.ReasonProtectedNamespace)
		condition.Message = fmt.Sprintf("The cluster or the webhook depends on what runs in %[3]s, which therefore can belong to no tenant: remove the label %[1]s=%[2]s there (kubectl label namespace NAME %[1]s-)",
			names.LabelTenant, facts.tenant.Name, enumerate(facts.protected))
	case applied.Status != metav1.ConditionTrue:
		condition.Reason, condition.Message = applied.Reason, applied.Message
	default:
		condition.Status, condition.Reason = metav1.ConditionTrue, string(names.ReasonReady)
		condition.Message = "Pods of the tenant's namespaces leave the cluster by " + facts.proxyURL + " only"
	}
	return condition
}

// enumerate writes names for people, the first few of them.
func enumerate(names []string) string {
	if more := len(names) - namesInMessage; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:namesInMessage], ", "), more)
	}
	return strings.Join(names, ", ")
}

func enumerateErrors(errs field.ErrorList) string {
	texts := make([]string, 0, namesInMessage+1)
	for i, err := range errs {
		if i == namesInMessage {
			texts = append(texts, fmt.Sprintf("and %d more", len(errs)-i))
			break
		}
		texts = append(texts, err.Error())
	}
	return strings.Join(texts, "; ")
}
