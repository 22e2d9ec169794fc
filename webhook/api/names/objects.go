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

	// SettingsConfigMap is the name of the ConfigMap with the webhook's settings,
	// in the namespace of the webhook.
	SettingsConfigMap = "egress-webhook-settings"
	// SettingsKey is the key of the settings file in the ConfigMap.
	SettingsKey = "settings.yaml"

	// FieldOwner is the field manager of the webhook's server-side applies.
	FieldOwner = "egress-webhook"
)
