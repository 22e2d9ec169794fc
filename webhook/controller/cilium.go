package controller

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/netpol"
)

// CiliumPolicies is the kind of CiliumNetworkPolicies.
var CiliumPolicies = PolicyKind{Group: netpol.CiliumGroup, Version: netpol.CiliumVersion, Kind: netpol.CiliumKind}

// ciliumFacts are the inputs of a decision about the CiliumNetworkPolicy of a
// namespace.
type ciliumFacts struct {
	namespace *corev1.Namespace
	// protected is true if the namespace cannot belong to a tenant.
	protected bool
	// observed is the policy in the namespace, nil if there is none.
	observed *unstructured.Unstructured
	// wanted is the policy for the namespace's tenant. It is nil if the tenant needs
	// none, and without a tenant.
	wanted *unstructured.Unstructured
}

// decideCilium contains all rules about CiliumNetworkPolicies of the webhook. In a
// tenant's namespace their name belongs to the webhook; elsewhere a policy of that
// name is the webhook's if it has the tenant label.
//
// The policy opens paths, and each of the two policies of a namespace closes all
// others by itself. A decision from outdated caches is therefore corrected by the
// event that brings them up to date: until then a namespace has its last paths.
func decideCilium(facts ciliumFacts) action {
	_, labelled := facts.namespace.Labels[names.LabelTenant]
	switch {
	case facts.namespace.DeletionTimestamp != nil:
		return actionNone // objects cannot be created any more
	case facts.observed != nil && facts.observed.GetDeletionTimestamp() != nil:
		return actionNone // its deletion triggers the next decision
	case facts.wanted == nil && facts.observed == nil:
		return actionNone
	case facts.wanted == nil && (labelled && !facts.protected || hasTenantLabel(facts.observed)):
		return actionRemove
	case facts.wanted == nil:
		return actionNone // another client's policy
	case netpol.CiliumInSync(facts.observed, facts.wanted):
		return actionNone
	case facts.observed != nil && netpol.CiliumHasForeignRules(facts.observed):
		// Server-side apply would leave them. The deletion triggers the next
		// decision, which creates the policy again.
		return actionRemove
	}
	return actionApply
}

func hasTenantLabel(policy *unstructured.Unstructured) bool {
	_, labelled := policy.GetLabels()[names.LabelTenant]
	return labelled
}
