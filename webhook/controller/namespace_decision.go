package controller

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

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

// Reasons of decisions about a namespace, as events carry them.
const (
	reasonNotATenant         = "NotATenant"
	reasonCovered            = "Covered"
	reasonTerminating        = "Terminating"
	reasonProtectedNamespace = "ProtectedNamespace"
	reasonUnknownTenant      = "UnknownTenant"
	reasonPolicyApplied      = "PolicyApplied"
	reasonPolicyRemoved      = "PolicyRemoved"
	reasonPolicyFailed       = "PolicyFailed"
)

// decision says what to do about a namespace. Reason and message become the
// event, once it is done.
type decision struct {
	action  action
	reason  string
	message string
}

// decide is where the rules are. It fails closed: whatever is unclear leaves
// the policy as it is. Only a protected namespace never has one of ours.
func decide(facts namespaceFacts) decision {
	name, labelled := facts.namespace.Labels[v1alpha1.LabelTenant]
	switch {
	case facts.namespace.DeletionTimestamp != nil && (facts.have == nil || facts.want == nil || facts.protected):
		// Nothing can be created there any more. What still stands is kept as
		// it should be, as pods may run until their grace period is over.
		return decision{actionNone, reasonTerminating, "the namespace is being deleted"}
	case labelled && facts.protected && ours(facts.have):
		// The label is reported next, when the policy is gone.
		return decision{actionRemove, reasonPolicyRemoved, fmt.Sprintf(
			"NetworkPolicy %s removed: the namespace is protected, whatever its label %s says", v1alpha1.PolicyName, v1alpha1.LabelTenant)}
	case labelled && facts.protected:
		return decision{actionRefuse, reasonProtectedNamespace, fmt.Sprintf(
			"label %[1]s=%[2]s brings neither NetworkPolicy nor proxy here: the cluster or the webhook depends on namespace %[3]s, which therefore can belong to no tenant. Remove the label: kubectl label namespace %[3]s %[1]s-",
			v1alpha1.LabelTenant, name, facts.namespace.Name)}
	case !labelled && ours(facts.have):
		return decision{actionRemove, reasonPolicyRemoved, fmt.Sprintf(
			"NetworkPolicy %s removed: the namespace no longer carries the label %s", v1alpha1.PolicyName, v1alpha1.LabelTenant)}
	case !labelled:
		return decision{actionNone, reasonNotATenant, "the namespace carries no label " + v1alpha1.LabelTenant}
	case facts.tenant == nil:
		return decision{actionKeep, reasonUnknownTenant, fmt.Sprintf(
			"label %s=%s names no EgressTenant: new pods are refused, and NetworkPolicy %s stays as it is. Create the EgressTenant or correct the label",
			v1alpha1.LabelTenant, name, v1alpha1.PolicyName)}
	case netpol.InSync(facts.have, facts.want):
		return decision{actionNone, reasonCovered, "the NetworkPolicy is as it should be"}
	case facts.have == nil:
		return decision{actionApply, reasonPolicyApplied, fmt.Sprintf(
			"NetworkPolicy %s created for tenant %s", v1alpha1.PolicyName, name)}
	default:
		return decision{actionApply, reasonPolicyApplied, fmt.Sprintf(
			"NetworkPolicy %s was not what tenant %s asks for, and has been put right", v1alpha1.PolicyName, name)}
	}
}

// ours tells our policy from one that somebody else gave the same name in a
// namespace without a tenant.
func ours(policy *networkingv1.NetworkPolicy) bool {
	if policy == nil {
		return false
	}
	_, labelled := policy.Labels[v1alpha1.LabelTenant]
	return labelled
}
