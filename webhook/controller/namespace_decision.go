package controller

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/netpol"
)

// namespaceFacts is what a decision about a namespace rests on.
type namespaceFacts struct {
	namespace *corev1.Namespace
	// protected says that the namespace can belong to no tenant: a policy would
	// cut off what the cluster or the webhook depends on, its DNS for one.
	protected bool
	// tenant is the one that the namespace's label names; nil if there is no
	// such tenant, or no label.
	tenant *v1alpha1.EgressTenant
	// have is the policy that stands in the namespace, nil if none does.
	have *networkingv1.NetworkPolicy
	// want is the policy that the tenant asks for; nil without a tenant.
	want *networkingv1.NetworkPolicy
}

type action string

const (
	actionNone   action = "None"
	actionApply  action = "ApplyPolicy"
	actionRemove action = "RemovePolicy"
	// actionKeep leaves the policy alone and says why on the namespace.
	actionKeep action = "KeepPolicy"
	// actionRefuse puts no policy there and says why on the namespace.
	actionRefuse action = "RefuseNamespace"
)

// decision says what to do about a namespace. Reason and message become the
// event, once it is done.
type decision struct {
	action  action
	reason  names.Reason
	message string
}

// decide is where the rules are. It fails closed: whatever is unclear leaves
// the policy as it is. Only a protected namespace never has one of ours.
func decide(facts namespaceFacts) decision {
	name, labelled := facts.namespace.Labels[names.LabelTenant]
	switch {
	case facts.namespace.DeletionTimestamp != nil && (facts.have == nil || facts.want == nil || facts.protected):
		// Nothing can be created there any more. What still stands is kept as
		// it should be, as pods may run until their grace period is over.
		return decision{actionNone, names.ReasonTerminating, "the namespace is being deleted"}
	case labelled && facts.protected && ours(facts.have):
		// The label is reported next, when the policy is gone.
		return decision{actionRemove, names.ReasonPolicyRemoved, fmt.Sprintf(
			"NetworkPolicy %s removed: the namespace is protected, whatever its label %s says", names.PolicyName, names.LabelTenant)}
	case labelled && facts.protected:
		return decision{actionRefuse, names.ReasonProtectedNamespace, fmt.Sprintf(
			"label %[1]s=%[2]s brings neither NetworkPolicy nor proxy here: the cluster or the webhook depends on namespace %[3]s, which therefore can belong to no tenant. Remove the label: kubectl label namespace %[3]s %[1]s-",
			names.LabelTenant, name, facts.namespace.Name)}
	case !labelled && ours(facts.have):
		return decision{actionRemove, names.ReasonPolicyRemoved, fmt.Sprintf(
			"NetworkPolicy %s removed: the namespace no longer carries the label %s", names.PolicyName, names.LabelTenant)}
	case !labelled:
		return decision{actionNone, names.ReasonNotATenant, "the namespace carries no label " + names.LabelTenant}
	case facts.tenant == nil:
		return decision{actionKeep, names.ReasonUnknownTenant, fmt.Sprintf(
			"label %s=%s names no EgressTenant: new pods are refused, and NetworkPolicy %s stays as it is. Create the EgressTenant or correct the label",
			names.LabelTenant, name, names.PolicyName)}
	case netpol.InSync(facts.have, facts.want):
		return decision{actionNone, names.ReasonCovered, "the NetworkPolicy is as it should be"}
	case facts.have == nil:
		return decision{actionApply, names.ReasonPolicyApplied, fmt.Sprintf(
			"NetworkPolicy %s created for tenant %s", names.PolicyName, name)}
	default:
		return decision{actionApply, names.ReasonPolicyApplied, fmt.Sprintf(
			"NetworkPolicy %s was not what tenant %s asks for, and has been put right", names.PolicyName, name)}
	}
}

// ours tells our policy from one that somebody else gave the same name in a
// namespace without a tenant.
func ours(policy *networkingv1.NetworkPolicy) bool {
	if policy == nil {
		return false
	}
	_, labelled := policy.Labels[names.LabelTenant]
	return labelled
}
