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

	// RepairEvent is the name of the event about repairs of a NetworkPolicy, in its
	// namespace. The same event on the namespace is NAMESPACE.RepairEvent in the
	// namespace "default".
	RepairEvent = "egress-scw.repaired"

	// SettingsConfigMap is the name of the ConfigMap with the webhook's settings,
	// in the namespace of the webhook.
	SettingsConfigMap = "egress-webhook-settings"
	// SettingsKey is the key of the settings file in the ConfigMap.
	SettingsKey = "settings.yaml"

	// FieldOwner is the field manager of the webhook's server-side applies.
	FieldOwner = "egress-webhook"
)
