package names

// Group, version and kinds of the API.
const (
	Group            = "egress.scw"
	Version          = "v1alpha1"
	KindEgressTenant = "EgressTenant"
)

// Verbs on EgressTenants that a ClusterRole can grant beside those of Kubernetes.
const (
	// VerbEnforce exempts from the guards: it permits changes to the objects that
	// enforce the tenants' egress paths.
	VerbEnforce = "enforce"
	// VerbUse permits giving a namespace to the EgressTenant.
	VerbUse = "use"
)

const (
	// ViewerRole is the ClusterRole that permits reading EgressTenants.
	ViewerRole = "egress-tenant-viewer"

	// PolicyName is the name of the NetworkPolicy in every tenant namespace, and of the
	// CiliumNetworkPolicy beside it, where Cilium needs one.
	PolicyName = "egress-scw"

	// RepairEvent is the name of the event about repairs of a NetworkPolicy, in its
	// namespace. The same event on the namespace is NAMESPACE.RepairEvent in the
	// namespace "default".
	RepairEvent = "egress-scw.repaired"

	// FinalizerInUse on an EgressTenant keeps it while namespaces carry its label.
	FinalizerInUse = "egress.scw/in-use"

	// FinalizerPods on a NetworkPolicy keeps it while its namespace is deleted and
	// has pods. Only API servers before Kubernetes 1.33 need it: later ones delete
	// the pods first.
	FinalizerPods = "egress.scw/pods"

	// SettingsConfigMap is the name of the ConfigMap with the webhook's settings,
	// in the namespace of the webhook.
	SettingsConfigMap = "egress-webhook-settings"
	// SettingsKey is the key of the settings file in the ConfigMap.
	SettingsKey = "settings.yaml"

	// WatchLease is the name of the Lease of bootstrap watch, in the namespace of the
	// webhook. Its events are about this object.
	WatchLease = "egress-bootstrap"
	// ValuesConfigMap is the name of the ConfigMap into which bootstrap watch writes
	// the values of the chart that describe the resources at Scaleway.
	ValuesConfigMap = "egress-bootstrap-values"
	// ValuesKey is the key of the values in the ConfigMap.
	ValuesKey = "values.yaml"

	// FieldOwner is the field manager of the webhook's server-side applies.
	FieldOwner = "egress-webhook"
	// BootstrapFieldOwner is the one of bootstrap watch.
	BootstrapFieldOwner = "egress-bootstrap"
)
