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
	// wanted is the policy for the tenant, nil without a tenant.
	wanted *networkingv1.NetworkPolicy
}

type action string

const (
	actionNone   action = "None"
	actionApply  action = "ApplyPolicy"
	actionRemove action = "RemovePolicy"
	// actionKeep leaves the policy as it is and warns on the namespace.
	actionKeep action = "KeepPolicy"
	// actionRefuse creates no policy and warns on the namespace.
	actionRefuse action = "RefuseNamespace"
)

// decision is an action on a namespace. Reason and message are written to an
// event once the action is done.
type decision struct {
	action  action
	reason  names.Reason
	message string
}

// decide contains all rules about namespaces. It fails closed: if the facts are
// unclear, the policy stays as it is. Only a protected namespace never has a
// policy of the webhook.
func decide(facts namespaceFacts) decision {
	tenant, labelled := facts.namespace.Labels[names.LabelTenant]
	switch {
	case facts.namespace.DeletionTimestamp != nil && (facts.observed == nil || facts.wanted == nil || facts.protected):
		// Objects cannot be created in the namespace any more. An existing
		// policy is kept in sync, as pods may run until the end of their grace
		// period.
		return decision{actionNone, names.ReasonTerminating, "the namespace is being deleted"}
	case labelled && facts.protected && ours(facts.observed):
		// The next reconcile, without the policy, warns about the label.
		return decision{actionRemove, names.ReasonPolicyRemoved, fmt.Sprintf(
			"NetworkPolicy %s removed: the namespace is protected, whatever its label %s is", names.PolicyName, names.LabelTenant)}
	case labelled && facts.protected:
		return decision{actionRefuse, names.ReasonProtectedNamespace, fmt.Sprintf(
			"label %[1]s=%[2]s has no effect: the cluster or the webhook depends on namespace %[3]s, which therefore cannot belong to a tenant. Remove the label: kubectl label namespace %[3]s %[1]s-",
			names.LabelTenant, tenant, facts.namespace.Name)}
	case !labelled && ours(facts.observed):
		return decision{actionRemove, names.ReasonPolicyRemoved, fmt.Sprintf(
			"NetworkPolicy %s removed: the namespace no longer has the label %s", names.PolicyName, names.LabelTenant)}
	case !labelled:
		return decision{actionNone, names.ReasonNotATenant, "the namespace does not have the label " + names.LabelTenant}
	case facts.tenant == nil:
		return decision{actionKeep, names.ReasonUnknownTenant, fmt.Sprintf(
			"there is no EgressTenant for the label %s=%s: new pods are refused, and NetworkPolicy %s stays as it is. Create the EgressTenant or correct the label",
			names.LabelTenant, tenant, names.PolicyName)}
	case netpol.InSync(facts.observed, facts.wanted):
		return decision{actionNone, names.ReasonPolicyInSync, "the NetworkPolicy is in sync"}
	case facts.observed == nil:
		return decision{actionApply, names.ReasonPolicyApplied, fmt.Sprintf(
			"NetworkPolicy %s created for tenant %s", names.PolicyName, tenant)}
	default:
		return decision{actionApply, names.ReasonPolicyApplied, fmt.Sprintf(
			"NetworkPolicy %s differed from the policy of tenant %s, and was repaired", names.PolicyName, tenant)}
	}
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
