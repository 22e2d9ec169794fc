package names

// PodHandlerPath is the path of the webhook's server that API servers send
// admission reviews of pods to.
const PodHandlerPath = "/mutate-pods"

// StatusPath is the path on StatusPort of a proxy that is answered with status 200.
// Other requests are denied with the same page, and CONNECT without it.
const StatusPath = "/egress-status"

// Paths of the webhook's server for admission reviews of namespaces.
const (
	NamespaceMutationPath   = "/mutate-namespaces"
	NamespaceValidationPath = "/validate-namespaces"
	NamespaceDeletionPath   = "/delete-namespaces"
)

// PolicyValidationPath is the path of the webhook's server for admission reviews of
// changes to NetworkPolicies called PolicyName.
const PolicyValidationPath = "/validate-policies"
