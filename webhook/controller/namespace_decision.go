package controller

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/netpol"
)

// namespaceFacts are the inputs of a decision about a namespace.
type namespaceFacts struct {
	namespace *corev1.Namespace
	// protected is true if the namespace cannot belong to a tenant: a policy
	// would cut off pods that the cluster or the webhook depends on, such as
	// DNS.
	protected bool
	// tenant is the EgressTenant that the namespace's label names. It is nil
	// without such a tenant, or without the label.
	tenant *v1alpha1.EgressTenant
	// observed is the policy in the namespace, nil if there is none.
	observed *networkingv1.NetworkPolicy
	// wanted is the policy for the tenant, or the one that closes the namespace
	// if the label names no tenant. It is nil without the label.
	wanted *networkingv1.NetworkPolicy
	// lastInSync is the policy that was last in sync, the zero value if it is not
	// known.
	lastInSync fingerprint
	// cached is true if the facts are those of the caches.
	cached bool
}

// version returns the resourceVersion of the policy in the caches, "" if the facts
// are not from there.
func (f namespaceFacts) version() string {
	if !f.cached || f.observed == nil {
		return ""
	}
	return f.observed.ResourceVersion
}

type action string

const (
	actionNone   action = "None"
	actionApply  action = "ApplyPolicy"
	actionRemove action = "RemovePolicy"
	// actionRepair restores a policy that another client deleted or edited.
	actionRepair action = "RepairPolicy"
	// actionClose applies the policy that closes the namespace, and warns on the
	// namespace.
	actionClose action = "CloseNamespace"
	// actionRefuse creates no policy and warns on the namespace.
	actionRefuse action = "RefuseNamespace"
)

// decision is an action on a namespace. Reason and message are written to an
// event once the action is done.
type decision struct {
	action  action
	reason  names.Reason
	message string
	// cause describes the change by another client that is repaired.
	cause string
}

// decide contains all rules about namespaces. It fails closed: a label that names
// no tenant closes the namespace. Only a protected namespace never has a policy of
// the webhook.
func decide(facts namespaceFacts) decision {
	tenant, labelled := facts.namespace.Labels[names.LabelTenant]
	switch {
	case facts.namespace.DeletionTimestamp != nil && (facts.observed == nil || facts.wanted == nil || facts.protected):
		// Objects cannot be created in the namespace any more. An existing
		// policy is kept in sync, as pods may run until the end of their grace
		// period.
		return decision{action: actionNone, reason: names.ReasonTerminating, message: "the namespace is being deleted"}
	case (!labelled || facts.protected) && ours(facts.observed) && facts.observed.DeletionTimestamp != nil:
		return decision{action: actionNone, reason: names.ReasonPolicyRemoved, message: "the NetworkPolicy is being deleted"}
	case labelled && facts.protected && ours(facts.observed):
		// The next reconcile, without the policy, warns about the label.
		return decision{action: actionRemove, reason: names.ReasonPolicyRemoved, message: fmt.Sprintf(
			"NetworkPolicy %s %s: the namespace is protected, whatever its label %s is", names.PolicyName, removed(facts.observed), names.LabelTenant)}
	case labelled && facts.protected:
		return decision{action: actionRefuse, reason: names.ReasonProtectedNamespace, message: fmt.Sprintf(
			"label %[1]s=%[2]s has no effect: the cluster or the webhook depends on namespace %[3]s, which therefore cannot belong to a tenant. Remove the label: kubectl label namespace %[3]s %[1]s-",
			names.LabelTenant, tenant, facts.namespace.Name)}
	case !labelled && ours(facts.observed):
		return decision{action: actionRemove, reason: names.ReasonPolicyRemoved, message: fmt.Sprintf(
			"NetworkPolicy %s %s: the namespace no longer has the label %s", names.PolicyName, removed(facts.observed), names.LabelTenant)}
	case !labelled:
		return decision{action: actionNone, reason: names.ReasonNotATenant, message: "the namespace does not have the label " + names.LabelTenant}
	case netpol.InSync(facts.observed, facts.wanted):
		return decision{action: actionNone, reason: names.ReasonPolicyInSync, message: "the NetworkPolicy is in sync"}
	case tampering(facts.observed, facts.wanted, facts.lastInSync) != "":
		cause := tampering(facts.observed, facts.wanted, facts.lastInSync)
		return decision{action: actionRepair, reason: names.ReasonPolicyRepaired, cause: cause, message: fmt.Sprintf(
			"NetworkPolicy %s was %s, and restored", names.PolicyName, cause)}
	case facts.tenant == nil:
		return decision{action: actionClose, reason: names.ReasonUnknownTenant, message: fmt.Sprintf(
			"there is no EgressTenant for the label %s=%s: NetworkPolicy %s closes every egress path of the namespace's pods, DNS included, and new pods are refused. Create the EgressTenant or correct the label",
			names.LabelTenant, tenant, names.PolicyName)}
	case facts.observed == nil:
		return decision{action: actionApply, reason: names.ReasonPolicyApplied, message: fmt.Sprintf(
			"NetworkPolicy %s created for tenant %s", names.PolicyName, tenant)}
	default:
		return decision{action: actionApply, reason: names.ReasonPolicyApplied, message: fmt.Sprintf(
			"NetworkPolicy %s updated for tenant %s", names.PolicyName, tenant)}
	}
}

// removed describes the deletion of a policy, which its finalizers delay.
func removed(policy *networkingv1.NetworkPolicy) string {
	if len(policy.Finalizers) == 0 {
		return "removed"
	}
	return fmt.Sprintf("marked for deletion, but in force until its finalizers (%s) are removed", enumerate(policy.Finalizers))
}

// ours reports whether a policy is the webhook's, and not one of another client
// with the same name in a namespace without a tenant.
func ours(policy *networkingv1.NetworkPolicy) bool {
	if policy == nil {
		return false
	}
	_, labelled := policy.Labels[names.LabelTenant]
	return labelled
}
