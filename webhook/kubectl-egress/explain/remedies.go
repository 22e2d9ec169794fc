package explain

import "egress.scw/webhook/api/names"

// remedies are those of docs/reference/reasons.md. A test compares them with the
// comments of the reasons, from which that page is generated.
var remedies = map[names.Reason]string{
	names.ReasonNotATenant:                "label the namespace if it should belong to a tenant.",
	names.ReasonOptedOut:                  "remove the label from the pod template if the pod should be injected.",
	names.ReasonNamespaceOptedOut:         "remove it from the namespace if the pod should be injected.",
	names.ReasonProtectedNamespace:        "remove the label from the namespace.",
	names.ReasonUnknownTenant:             "create the EgressTenant, or correct the label.",
	names.ReasonNodePoolConflict:          "remove the field that the message names from the pod template.",
	names.ReasonTooManyContainers:         "split the pod.",
	names.ReasonInvalidTenant:             "correct the fields that the message names.",
	names.ReasonInvalidAnnotation:         "correct the annotation that the message names.",
	names.ReasonNoProxyTooLong:            "shorten the list that the message names.",
	names.ReasonSidecarConflict:           "change the fields that the message names in the pod template.",
	names.ReasonSidecarNotOffered:         "set spec.proxy.identity in egress.yaml, run bootstrap apply, and upgrade the chart with the values.yaml that it writes.",
	names.ReasonSidecarRequired:           "set spec.sidecar of the EgressTenant.",
	names.ReasonClosedDNSMissing:          "turn the closed DNS server of the chart on.",
	names.ReasonPolicyLocked:              "find the user in the webhook's log, and take the rights away.",
	names.ReasonBadRequest:                "find the client that sends it: API servers do not.",
	names.ReasonBusy:                      "find the client that sends them: the webhook's log has its address. API servers try again by themselves.",
	names.ReasonUnavailable:               "restore the API server or the right that the message names. Controllers create their pods again.",
	names.ReasonInternalError:             "report the stack in the webhook's log.",
	names.ReasonPolicyRepaired:            "find the client in the audit log of the API server, and take its rights away.",
	names.ReasonPolicyFailed:              "remove the cause that the message names. The webhook tries again.",
	names.ReasonInvalidSpec:               "correct the fields that the message names.",
	names.ReasonPortConflict:              "give one of the two tenants another port.",
	names.ReasonPolicyNotApplied:          "look for events of the namespaces that the message names.",
	names.ReasonForeignEgressRules:        "remove the egress rules from the policies that the message names.",
	names.ReasonGuardsMissing:             "turn the guards on that the message names, in the chart's value guards.",
	names.ReasonProxyUnreachable:          "look at the proxy machine, unless the message names pods that are still admitted to the port.",
	names.ReasonProxyOutOfSync:            "run bootstrap apply, or write the EgressTenant again if it is older than egress.yaml.",
	names.ReasonServiceAddressUnavailable: "delete the Service that the message names, or clear status.serviceIP of the EgressTenant for another address, and create the pods again.",
	names.ReasonServiceNotWritten:         "remove the cause that the message names. The webhook tries again.",
	names.ReasonCertificateNotIssued:      "look at the Certificate that the message names, and whether cert-manager runs.",
	names.ReasonSecretNotCopied:           "remove the cause that the message names. The webhook tries again.",
	names.ReasonPending:                   "check that one replica of the webhook leads, if the reason stays.",
	names.ReasonApplyFailed:               "remove the cause that the message names. The watcher tries again.",
	names.ReasonPlanBlocked:               "undo the cause, run bootstrap apply, or permit it to the watcher, as the message says.",
	names.ReasonConfigInvalid:             "correct the fields that the message names.",
	names.ReasonConfigRefused:             "remove the cause that the message names.",
	names.ReasonTenantLeftOut:             "correct the fields that the message names.",
	names.ReasonVolumeKept:                "save the log, and delete the volume, or let bootstrap apply do it.",
	names.ReasonValuesOutdated:            "upgrade the chart with the values of the ConfigMap that the message names.",
}

// Remedy returns what to do about a reason, "" if nothing is to be done.
func Remedy(reason names.Reason) string { return remedies[reason] }
