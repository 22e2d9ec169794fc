package names

// Group, version and kinds of the API.
const (
	Group            = "egress.scw"
	Version          = "v1alpha1"
	KindEgressTenant = "EgressTenant"
)

const (
	// PolicyName is the name of the NetworkPolicy in every tenant namespace.
	PolicyName = "egress-scw"

	// FieldOwner is the field manager of the webhook's server-side applies.
	FieldOwner = "egress-webhook"
)
