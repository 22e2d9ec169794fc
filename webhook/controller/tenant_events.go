package controller

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// actionPublish is the action in events about a tenant, whose status has the
// same reason.
const actionPublish = "PublishStatus"

// report writes an event about a changed reason of the condition Ready. before is nil
// for a new tenant. Kubernetes lists an event for an hour, also when its cause is over,
// so that the end is an event, too.
func (r *TenantReconciler) report(tenant *v1alpha1.EgressTenant, before, after *metav1.Condition) {
	switch {
	case isReported(after.Reason):
		r.Events.Eventf(tenant, nil, corev1.EventTypeWarning, after.Reason, actionPublish, "%s", after.Message)
	case before != nil && isReported(before.Reason):
		r.Events.Eventf(tenant, nil, corev1.EventTypeNormal, after.Reason, actionPublish, "%s is over. %s", before.Reason, after.Message)
	}
}

// isReported reports whether events report a reason of the condition Ready: people must
// act then. The webhook itself creates a missing policy, mostly within milliseconds; if
// it cannot, the namespace has an event with the cause.
func isReported(reason string) bool {
	return slices.Contains([]names.Reason{
		names.ReasonInvalidSpec, names.ReasonPortConflict, names.ReasonForeignEgressRules,
		names.ReasonSidecarNotOffered, names.ReasonSidecarRequired, names.ReasonClosedDNSMissing,
		names.ReasonServiceAddressUnavailable, names.ReasonServiceNotWritten, names.ReasonCertificateNotIssued, names.ReasonSecretNotCopied,
	}, names.Reason(reason))
}
