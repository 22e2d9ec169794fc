package names

import "slices"

// Reason is one word, in CamelCase, that explains a decision. Conditions,
// events, metrics, logs and admission responses share it.
//
// The reference page of reasons is generated from the comments of the constants.
// Text behind "Remedy:" becomes a column of its own.
type Reason string

// Reasons of decisions about a pod.
const (
	// ReasonInjected: the pod belongs to a tenant.
	ReasonInjected Reason = "Injected"
	// ReasonNotATenant: the namespace has no tenant label. Also of namespaces.
	// Remedy: label the namespace if it should belong to a tenant.
	ReasonNotATenant Reason = "NotATenant"
	// ReasonOptedOut: the pod's own label turns injection off. Remedy: remove the
	// label from the pod template if the pod should be injected.
	ReasonOptedOut Reason = "OptedOut"
	// ReasonNamespaceOptedOut: the label or annotation of the pod's namespace turns
	// injection off. Remedy: remove it from the namespace if the pod should be injected.
	ReasonNamespaceOptedOut Reason = "NamespaceOptedOut"
	// ReasonMirrorPod: the pod mirrors a static pod, which a kubelet runs from a
	// file.
	ReasonMirrorPod Reason = "MirrorPod"
	// ReasonPodUpdated: a pod that exists is updated. Its own NO_PROXY and
	// JAVA_TOOL_OPTIONS get back the values that they have, if its manifest was applied
	// again.
	ReasonPodUpdated Reason = "PodUpdated"
	// ReasonProtectedNamespace: the namespace has a tenant label, but is protected
	// and cannot belong to a tenant. Also of namespaces and tenants. Remedy: remove
	// the label from the namespace.
	ReasonProtectedNamespace Reason = "ProtectedNamespace"
	// ReasonUnknownTenant: there is no EgressTenant of the name in the namespace's
	// label. Also of namespaces. Remedy: create the EgressTenant, or correct the
	// label.
	ReasonUnknownTenant Reason = "UnknownTenant"
	// ReasonGatewayPath: the tenant has path Gateway, on which pods need no proxy
	// variables.
	ReasonGatewayPath Reason = "GatewayPath"
	// ReasonNodePoolConflict: the pod asks for other nodes than those of the
	// tenant's nodePool. Remedy: remove the field that the message names from the
	// pod template.
	ReasonNodePoolConflict Reason = "NodePoolConflict"
	// ReasonTooManyContainers: the pod has more containers than can be stored.
	// Remedy: split the pod.
	ReasonTooManyContainers Reason = "TooManyContainers"
	// ReasonInvalidTenant: the EgressTenant is not valid. Remedy: correct the
	// fields that the message names.
	ReasonInvalidTenant Reason = "InvalidTenant"
	// ReasonInvalidAnnotation: an annotation of the pod is not valid. Remedy:
	// correct the annotation that the message names.
	ReasonInvalidAnnotation Reason = "InvalidAnnotation"
	// ReasonNoProxyTooLong: NO_PROXY would exceed its bound. Remedy: shorten the
	// list that the message names.
	ReasonNoProxyTooLong Reason = "NoProxyTooLong"
	// ReasonSidecarConflict: the pod has settings with which the sidecar cannot work.
	// Remedy: change the fields that the message names in the pod template.
	ReasonSidecarConflict Reason = "SidecarConflict"
	// ReasonSidecarNotOffered: the tenant has spec.sidecar, and the proxy accepts no
	// sidecars, or the webhook's settings lack its certificate or the sidecar's image.
	// Also of tenants. Remedy: set spec.proxy.identity in egress.yaml, run bootstrap
	// apply, and upgrade the chart with the values.yaml that it writes.
	ReasonSidecarNotOffered Reason = "SidecarNotOffered"
	// ReasonSidecarRequired: the tenant has no spec.sidecar, and the proxy recognises
	// tenants by the certificates of sidecars alone. Also of tenants. Remedy: set
	// spec.sidecar of the EgressTenant.
	ReasonSidecarRequired Reason = "SidecarRequired"
	// ReasonClosedDNSMissing: the tenant has dns Closed, and the webhook's settings have
	// no DNS server for it. Also of tenants. Remedy: turn the closed DNS server of the
	// chart on.
	ReasonClosedDNSMissing Reason = "ClosedDNSMissing"
)

// Reasons of decisions about a namespace that gets the tenant label, or is deleted.
// Also UnknownTenant.
const (
	// ReasonTenantJoined: the namespace belongs to the tenant.
	ReasonTenantJoined Reason = "TenantJoined"
	// ReasonTenantUnchanged: the label stays as it is.
	ReasonTenantUnchanged Reason = "TenantUnchanged"
	// ReasonPolicyKept: the namespace is deleted, and its NetworkPolicy stays until its
	// pods have ended.
	ReasonPolicyKept Reason = "PolicyKept"
)

// Reasons of decisions about a change of the NetworkPolicy of a tenant's namespace.
const (
	// ReasonPolicyLocked: another client tried to change or delete the NetworkPolicy.
	// No event has it. Remedy: find the user in the webhook's log, and take the
	// rights away.
	ReasonPolicyLocked Reason = "PolicyLocked"
)

// Reasons of admission requests that end without a decision about the pod.
const (
	// ReasonBadRequest: the handler cannot answer such a request. Remedy: find the
	// client that sends it: API servers do not.
	ReasonBadRequest Reason = "BadRequest"
	// ReasonBusy: the request needs more memory than usual, or objects that are not
	// cached, and others that do took too long. Remedy: find the client that sends them: the webhook's log has
	// its address. API servers try again by themselves.
	ReasonBusy Reason = "Busy"
	// ReasonUnavailable: an object that the decision depends on could not be read
	// or written. Remedy: restore the API server or the right that the message
	// names. Controllers create their pods again.
	ReasonUnavailable Reason = "Unavailable"
	// ReasonInternalError: the handler panicked. Remedy: report the stack in the
	// webhook's log.
	ReasonInternalError Reason = "InternalError"
)

// Reasons of decisions about a namespace.
const (
	// ReasonPolicyInSync: the NetworkPolicy is in sync. No event has it.
	ReasonPolicyInSync Reason = "PolicyInSync"
	// ReasonTerminating: the namespace is being deleted. No event has it.
	ReasonTerminating Reason = "Terminating"
	// ReasonPolicyApplied: the NetworkPolicy was created or updated. Also of
	// tenants: it is in sync in all of their namespaces.
	ReasonPolicyApplied Reason = "PolicyApplied"
	// ReasonPolicyRepaired: another client deleted or edited the NetworkPolicy, and
	// the webhook restored it. The event is also on the NetworkPolicy. Remedy: find
	// the client in the audit log of the API server, and take its rights away.
	ReasonPolicyRepaired Reason = "PolicyRepaired"
	// ReasonPolicyRemoved: the NetworkPolicy was deleted.
	ReasonPolicyRemoved Reason = "PolicyRemoved"
	// ReasonPolicyFailed: the NetworkPolicy, or the CiliumNetworkPolicy beside it,
	// could not be written. Remedy: remove the cause that the message names. The
	// webhook tries again.
	ReasonPolicyFailed Reason = "PolicyFailed"
)

// Reasons of an EgressTenant's conditions.
const (
	// ReasonReady: the tenant is ready.
	ReasonReady Reason = "Ready"
	// ReasonInvalidSpec: the spec is not valid. Remedy: correct the fields that the
	// message names.
	ReasonInvalidSpec Reason = "InvalidSpec"
	// ReasonPortConflict: another tenant has the same port. The tenant whose pods alone
	// are admitted to the port stays ready. Remedy: give one of the two tenants another
	// port.
	ReasonPortConflict Reason = "PortConflict"
	// ReasonPolicyNotApplied: the NetworkPolicy, or the CiliumNetworkPolicy beside it,
	// is missing or not in sync in a namespace of the tenant. Remedy: look for events
	// of the namespaces that the message names.
	ReasonPolicyNotApplied Reason = "PolicyNotApplied"
	// ReasonForeignEgressRules: policies of other clients open egress paths in
	// namespaces of the tenant. Remedy: remove the egress rules from the policies
	// that the message names.
	ReasonForeignEgressRules Reason = "ForeignEgressRules"
	// ReasonGuardsPresent: every guard has a binding.
	ReasonGuardsPresent Reason = "GuardsPresent"
	// ReasonGuardsMissing: a guard has no binding. Remedy: turn the guards on that
	// the message names, in the chart's value guards.
	ReasonGuardsMissing Reason = "GuardsMissing"
	// ReasonProxyReachable: a proxy serves the tenant's Revision, and no proxy another
	// one. The message names machines that do not answer.
	ReasonProxyReachable Reason = "ProxyReachable"
	// ReasonProxyUnreachable: no proxy answers, or one does not on the port of a tenant
	// whose pods are not admitted to it yet. Remedy: look at the proxy machine, unless
	// the message names pods that are still admitted to the port.
	ReasonProxyUnreachable Reason = "ProxyUnreachable"
	// ReasonProxyOutOfSync: a proxy serves another tenant on the port, none, or another
	// Revision of the tenant. Remedy: run bootstrap apply, or write the
	// EgressTenant again if it is older than egress.yaml.
	ReasonProxyOutOfSync Reason = "ProxyOutOfSync"
	// ReasonServiceReady: the tenant's Service leads to the proxy.
	ReasonServiceReady Reason = "ServiceReady"
	// ReasonServiceAddressUnavailable: the tenant's Service was deleted, and the API
	// server refuses its address for the new one. Pods that have the address do not reach
	// the proxy; new pods get the address of a proxy machine. Remedy: delete the Service
	// that the message names, or clear status.serviceIP of the EgressTenant for another
	// address, and create the pods again.
	ReasonServiceAddressUnavailable Reason = "ServiceAddressUnavailable"
	// ReasonServiceNotWritten: the tenant's Service, or its EndpointSlice, could not be
	// written. Remedy: remove the cause that the message names. The webhook tries again.
	ReasonServiceNotWritten Reason = "ServiceNotWritten"
	// ReasonSidecarReady: the tenant's certificate is issued, and in every namespace of
	// the tenant.
	ReasonSidecarReady Reason = "SidecarReady"
	// ReasonCertificatePending: cert-manager is issuing the tenant's certificate.
	ReasonCertificatePending Reason = "CertificatePending"
	// ReasonCertificateNotIssued: cert-manager does not issue or renew the tenant's
	// certificate. Remedy: look at the Certificate that the message names, and whether
	// cert-manager runs.
	ReasonCertificateNotIssued Reason = "CertificateNotIssued"
	// ReasonSecretNotCopied: a namespace of the tenant lacks the Secret with the
	// certificate and the configuration of sidecars. Remedy: remove the cause that the
	// message names. The webhook tries again.
	ReasonSecretNotCopied Reason = "SecretNotCopied"
	// ReasonPending: the condition has not been written for the current spec yet.
	// Only metrics have it. Remedy: check that one replica of the webhook leads, if
	// the reason stays.
	ReasonPending Reason = "Pending"
)

// Reasons of events of bootstrap watch. They are about its Lease, and TenantLeftOut is
// about an EgressTenant.
const (
	// ReasonApplied: a plan was carried out.
	ReasonApplied Reason = "Applied"
	// ReasonApplyFailed: no plan could be made, or a step failed. Remedy: remove the
	// cause that the message names. The watcher tries again.
	ReasonApplyFailed Reason = "ApplyFailed"
	// ReasonPlanBlocked: the plan takes something away, and is not carried out. Remedy:
	// undo the cause, run bootstrap apply, or permit it to the watcher, as the message
	// says.
	ReasonPlanBlocked Reason = "PlanBlocked"
	// ReasonConfigInvalid: egress.yaml cannot be used. Remedy: correct the fields that
	// the message names.
	ReasonConfigInvalid Reason = "ConfigInvalid"
	// ReasonConfigRefused: a proxy machine refuses its configuration, and serves the
	// former one. Remedy: remove the cause that the message names.
	ReasonConfigRefused Reason = "ConfigRefused"
	// ReasonTenantLeftOut: the EgressTenant is not valid beside the other tenants, so
	// that the proxy does not get it. Remedy: correct the fields that the message names.
	ReasonTenantLeftOut Reason = "TenantLeftOut"
	// ReasonVolumeKept: a machine is gone, and its volume is kept, which has its audit
	// log. Remedy: save the log, and delete the volume, or let bootstrap apply do it.
	ReasonVolumeKept Reason = "VolumeKept"
	// ReasonValuesOutdated: the chart was installed with other values than those of the
	// resources at Scaleway. Remedy: upgrade the chart with the values of the ConfigMap
	// that the message names.
	ReasonValuesOutdated Reason = "ValuesOutdated"
)

// PodReasons returns every reason of a decision about a pod.
func PodReasons() []Reason {
	return []Reason{
		ReasonInjected, ReasonNotATenant, ReasonOptedOut, ReasonNamespaceOptedOut, ReasonMirrorPod, ReasonPodUpdated, ReasonGatewayPath,
		ReasonProtectedNamespace, ReasonUnknownTenant, ReasonNodePoolConflict, ReasonTooManyContainers, ReasonInvalidTenant, ReasonInvalidAnnotation, ReasonNoProxyTooLong,
		ReasonSidecarConflict, ReasonSidecarNotOffered, ReasonSidecarRequired, ReasonClosedDNSMissing,
	}
}

// AdmissionReasons returns every reason of an admission request: those of
// PodReasons, and those of requests that end without a decision.
func AdmissionReasons() []Reason {
	return append(PodReasons(), ReasonBadRequest, ReasonBusy, ReasonUnavailable, ReasonInternalError)
}

// NamespaceAdmissionReasons returns every reason of an admission request of a
// namespace.
func NamespaceAdmissionReasons() []Reason {
	return []Reason{
		ReasonTenantJoined, ReasonTenantUnchanged, ReasonUnknownTenant, ReasonPolicyKept,
		ReasonBadRequest, ReasonBusy, ReasonUnavailable, ReasonInternalError,
	}
}

// PolicyAdmissionReasons returns every reason of an admission request that changes a
// NetworkPolicy.
func PolicyAdmissionReasons() []Reason {
	return []Reason{ReasonPolicyLocked, ReasonBadRequest, ReasonBusy, ReasonUnavailable, ReasonInternalError}
}

// NamespaceReasons returns every reason of a decision about a namespace.
func NamespaceReasons() []Reason {
	return []Reason{
		ReasonNotATenant, ReasonPolicyInSync, ReasonTerminating, ReasonProtectedNamespace,
		ReasonUnknownTenant, ReasonPolicyApplied, ReasonPolicyRepaired, ReasonPolicyRemoved, ReasonPolicyFailed,
	}
}

// ReadyReasons returns every reason of the condition Ready, and ReasonPending.
func ReadyReasons() []Reason {
	return []Reason{
		ReasonReady, ReasonInvalidSpec, ReasonPortConflict, ReasonProtectedNamespace, ReasonForeignEgressRules, ReasonPolicyNotApplied,
		ReasonSidecarNotOffered, ReasonSidecarRequired, ReasonClosedDNSMissing,
		ReasonProxyUnreachable, ReasonProxyOutOfSync, ReasonServiceAddressUnavailable, ReasonServiceNotWritten,
		ReasonCertificatePending, ReasonCertificateNotIssued, ReasonSecretNotCopied, ReasonPending,
	}
}

// TenantReasons returns every reason of an EgressTenant's conditions.
func TenantReasons() []Reason {
	return []Reason{
		ReasonReady, ReasonInvalidSpec, ReasonPortConflict, ReasonProtectedNamespace, ReasonForeignEgressRules, ReasonPolicyNotApplied, ReasonPolicyApplied,
		ReasonSidecarNotOffered, ReasonSidecarRequired, ReasonClosedDNSMissing,
		ReasonGuardsPresent, ReasonGuardsMissing,
		ReasonProxyReachable, ReasonProxyUnreachable, ReasonProxyOutOfSync,
		ReasonServiceReady, ReasonServiceAddressUnavailable, ReasonServiceNotWritten,
		ReasonSidecarReady, ReasonCertificatePending, ReasonCertificateNotIssued, ReasonSecretNotCopied,
	}
}

// WatchReasons returns every reason of an event of bootstrap watch.
func WatchReasons() []Reason {
	return []Reason{
		ReasonApplied, ReasonApplyFailed, ReasonPlanBlocked, ReasonConfigInvalid, ReasonConfigRefused, ReasonTenantLeftOut, ReasonVolumeKept, ReasonValuesOutdated,
	}
}

// Reasons returns every reason, sorted, each once.
func Reasons() []Reason {
	all := slices.Concat(AdmissionReasons(), NamespaceAdmissionReasons(), PolicyAdmissionReasons(), NamespaceReasons(), TenantReasons(), ReadyReasons(), WatchReasons())
	slices.Sort(all)
	return slices.Compact(all)
}
