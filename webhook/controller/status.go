package controller

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
)

// maxListed bounds the number of names or errors in a condition's message:
// people read it on a terminal, and the API server refuses more than 32 KiB.
const maxListed = 8

// tenantFacts are the inputs of a tenant's status. All lists of names are
// sorted.
type tenantFacts struct {
	tenant *v1alpha1.EgressTenant
	// portHolders are the other tenants with the same port.
	portHolders []string
	// othersAdmitted is whether pods of one of them are admitted to it.
	othersAdmitted bool
	// namespaces have the tenant's label and are not protected.
	namespaces []string
	// optedOut are those of the namespaces whose label turns injection off.
	optedOut []string
	// protected have the tenant's label but cannot belong to a tenant.
	protected []string
	// outOfSync are the namespaces whose NetworkPolicy is missing or differs,
	// except those that are being deleted.
	outOfSync []string
	// outOfSyncCilium are those whose CiliumNetworkPolicy is.
	outOfSyncCilium []string
	// leftCilium are those with a CiliumNetworkPolicy that the tenant does not need any
	// more, which is being deleted.
	leftCilium []string
	// foreign are policies of other clients with egress rules, in the tenant's
	// namespaces.
	foreign []string
	// missingGuards are guards of the chart without a binding.
	missingGuards []string
	// unsupported is the reason why the settings do not have what the tenant needs. It
	// is nil if they do.
	unsupported *inject.Refusal
	// directURL is the URL of the proxy without the tenant's Service, and proxyURL the
	// value of HTTP_PROXY in the tenant's new pods without the sidecar, with path Proxy.
	directURL, proxyURL string
	// noProxy is the part of NO_PROXY that the tenant's pods have in common, with
	// path Proxy.
	noProxy string
	// proxy is what the proxies answer about the tenant, nil if they are not asked.
	proxy *proxyFacts
	// service is what is known about the tenant's Service, nil if it has none.
	service *serviceState
	// sidecar is what is known about the tenant's certificate, nil if its pods have no
	// sidecars.
	sidecar *sidecarState
	// egressAddresses are the published source addresses of the tenant's
	// requests.
	egressAddresses []netip.Addr
}

// addPortHolders adds the other tenants of those with the tenant's port.
func (f *tenantFacts) addPortHolders(onPort []v1alpha1.EgressTenant) {
	for i := range onPort {
		if onPort[i].Name == f.tenant.Name {
			continue
		}
		f.portHolders = append(f.portHolders, onPort[i].Name)
		f.othersAdmitted = f.othersAdmitted || onPort[i].AdmittedPort() != 0
	}
}

// losesPort is whether another tenant with the same port makes the tenant not ready. It
// does not if only this tenant's pods are admitted to the port: the proxy serves it
// there, and a tenant that is written later does not change that.
func (f *tenantFacts) losesPort() bool {
	keeps := f.proxy != nil && f.proxy.admitted && !f.othersAdmitted
	return len(f.portHolders) > 0 && !keeps
}

// add adds a namespace of the tenant.
func (f *tenantFacts) add(namespace *corev1.Namespace) {
	f.namespaces = append(f.namespaces, namespace.Name)
	if namespace.Labels[names.LabelInject] == "false" {
		f.optedOut = append(f.optedOut, namespace.Name)
	}
}

// tenantStatus computes the whole status. It reads the tenant's current status
// only to keep the transition times of unchanged conditions.
func tenantStatus(facts tenantFacts, now metav1.Time) v1alpha1.EgressTenantStatus {
	tenant := facts.tenant
	status := v1alpha1.EgressTenantStatus{
		ObservedGeneration: tenant.Generation,
		Conditions:         tenant.Status.DeepCopy().Conditions,
		Namespaces:         facts.namespaces[:min(len(facts.namespaces), v1alpha1.MaxStatusNamespaces)],
		OptedOutNamespaces: facts.optedOut[:min(len(facts.optedOut), v1alpha1.MaxStatusNamespaces)],
		NamespaceCount:     int32(len(facts.namespaces)), //nolint:gosec // a cluster has fewer namespaces
	}
	invalid := tenant.Validate()
	// An admitted port stays admitted with a spec that is not valid: only new pods
	// are refused.
	if facts.proxy != nil && facts.proxy.admitted || facts.proxy == nil && len(invalid) == 0 && tenant.Spec.IsProxied() {
		status.ProxyURL, status.AdmittedPort = facts.proxyURL, tenant.Spec.ProxyPort()
	}
	if len(invalid) == 0 {
		if tenant.Spec.IsProxied() {
			status.NoProxy = facts.noProxy
		}
		for _, address := range facts.egressAddresses[:min(len(facts.egressAddresses), v1alpha1.MaxStatusSourceAddresses)] {
			status.SourceAddresses = append(status.SourceAddresses, address.String())
		}
		status.EgressAddresses = strings.Join(status.SourceAddresses, ",")
	}
	applied := policyAppliedCondition(facts)
	conditions := []metav1.Condition{applied, guardedCondition(facts.missingGuards), readyCondition(facts, invalid, applied)}
	if facts.proxy != nil {
		conditions = append(conditions, facts.proxy.condition())
	} else {
		meta.RemoveStatusCondition(&status.Conditions, names.ConditionProxyReachable)
	}
	if facts.service != nil {
		status.ServiceIP = facts.service.address
		conditions = append(conditions, facts.service.condition())
	} else {
		meta.RemoveStatusCondition(&status.Conditions, names.ConditionServiceReady)
	}
	if facts.sidecar != nil {
		conditions = append(conditions, facts.sidecar.condition())
	} else {
		meta.RemoveStatusCondition(&status.Conditions, names.ConditionSidecarReady)
	}
	for _, condition := range conditions {
		condition.ObservedGeneration = tenant.Generation
		condition.LastTransitionTime = now
		meta.SetStatusCondition(&status.Conditions, condition)
	}
	return status
}

func policyAppliedCondition(facts tenantFacts) metav1.Condition {
	condition := metav1.Condition{Type: names.ConditionPolicyApplied, Status: metav1.ConditionTrue, Reason: string(names.ReasonPolicyApplied)}
	switch {
	case len(facts.outOfSync) > 0:
		condition.Status, condition.Reason = metav1.ConditionFalse, string(names.ReasonPolicyNotApplied)
		condition.Message = fmt.Sprintf("NetworkPolicy %s is missing or out of sync in %s", names.PolicyName, enumerate(facts.outOfSync))
	case len(facts.outOfSyncCilium) > 0:
		condition.Status, condition.Reason = metav1.ConditionFalse, string(names.ReasonPolicyNotApplied)
		condition.Message = fmt.Sprintf("CiliumNetworkPolicy %s is missing or out of sync in %s: the API server or the node-local DNS cache is closed there", names.PolicyName, enumerate(facts.outOfSyncCilium))
	case len(facts.leftCilium) > 0:
		condition.Status, condition.Reason = metav1.ConditionFalse, string(names.ReasonPolicyNotApplied)
		condition.Message = fmt.Sprintf("CiliumNetworkPolicy %s is left over in %s, and opens the API server or the node-local DNS cache there: if a finalizer keeps it, remove the finalizer", names.PolicyName, enumerate(facts.leftCilium))
	case len(facts.namespaces) == 0 && len(facts.protected) > 0:
		condition.Message = fmt.Sprintf("Only protected namespaces have the label %s=%s", names.LabelTenant, facts.tenant.Name)
	case len(facts.namespaces) == 0:
		condition.Message = fmt.Sprintf("No namespace has the label %s=%s", names.LabelTenant, facts.tenant.Name)
	default:
		condition.Message = fmt.Sprintf("NetworkPolicy %s is in sync in every namespace of the tenant (%d)", names.PolicyName, len(facts.namespaces))
	}
	return condition
}

func readyCondition(facts tenantFacts, invalid field.ErrorList, applied metav1.Condition) metav1.Condition {
	condition := metav1.Condition{Type: names.ConditionReady, Status: metav1.ConditionFalse}
	switch {
	case len(invalid) > 0:
		condition.Reason, condition.Message = string(names.ReasonInvalidSpec), enumerateErrors(invalid)
	case facts.unsupported != nil:
		condition.Reason, condition.Message = string(facts.unsupported.Reason), facts.unsupported.Message
	case facts.losesPort():
		condition.Reason = string(names.ReasonPortConflict)
		condition.Message = fmt.Sprintf("Port %d is also the port of %s: the proxy identifies tenants by their port, so set a unique one in spec.proxy.port",
			facts.tenant.Spec.ProxyPort(), enumerate(facts.portHolders))
	case len(facts.protected) > 0:
		condition.Reason = string(names.ReasonProtectedNamespace)
		condition.Message = fmt.Sprintf("The cluster or the webhook depends on pods in %[3]s, which therefore cannot belong to a tenant: remove the label %[1]s=%[2]s there (kubectl label namespace NAME %[1]s-)",
			names.LabelTenant, facts.tenant.Name, enumerate(facts.protected))
	case len(facts.foreign) > 0:
		condition.Reason = string(names.ReasonForeignEgressRules)
		condition.Message = fmt.Sprintf("Policies of other clients open egress paths beside NetworkPolicy %s: remove the egress rules from %s",
			names.PolicyName, enumerate(facts.foreign))
	case applied.Status != metav1.ConditionTrue:
		condition.Reason, condition.Message = applied.Reason, applied.Message
	case facts.proxy != nil && facts.proxy.reason != names.ReasonProxyReachable:
		condition.Reason, condition.Message = string(facts.proxy.reason), facts.proxy.message
	case facts.service != nil && !facts.service.isReady():
		condition.Reason, condition.Message = string(facts.service.reason), facts.service.message
	case facts.sidecar != nil && facts.sidecar.reason != names.ReasonSidecarReady:
		condition.Reason, condition.Message = string(facts.sidecar.reason), facts.sidecar.message
	default:
		condition.Status, condition.Reason = metav1.ConditionTrue, string(names.ReasonReady)
		condition.Message = "The proxy at " + facts.proxyURL + " is the only egress path of the tenant's pods"
		if !facts.tenant.Spec.IsProxied() {
			condition.Message = "The tenant's pods reach the public internet directly, by the Public Gateway, and nothing else outside the tenant"
		}
		if len(facts.tenant.Spec.ClusterAccess) > 0 {
			condition.Message += " beside spec.clusterAccess"
		}
		if len(facts.portHolders) > 0 {
			condition.Message += fmt.Sprintf(". %s also has port %d, and its pods are not admitted to it",
				enumerate(facts.portHolders), facts.tenant.Spec.ProxyPort())
		}
		if facts.tenant.DeletionTimestamp != nil {
			condition.Message = "Deleted, but kept until no namespace has its label: " + enumerate(append(facts.namespaces, facts.protected...))
		}
	}
	return condition
}

// enumerate lists the first names, and the number of further ones.
func enumerate(list []string) string {
	if more := len(list) - maxListed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:maxListed], ", "), more)
	}
	return strings.Join(list, ", ")
}

func enumerateErrors(errs field.ErrorList) string {
	messages := make([]string, 0, maxListed+1)
	for i, err := range errs {
		if i == maxListed {
			messages = append(messages, fmt.Sprintf("and %d more", len(errs)-i))
			break
		}
		messages = append(messages, err.Error())
	}
	return strings.Join(messages, "; ")
}
