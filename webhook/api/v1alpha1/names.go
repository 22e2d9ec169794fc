package v1alpha1

// Every name that the product reads or writes in a cluster, spelled once.
// Charts and manifests repeat them; tests compare the two.
const (
	// LabelTenant, on a namespace, names the EgressTenant that the namespace
	// belongs to. It is the one switch that users turn.
	LabelTenant = "egress.scw/tenant"

	// LabelInject, on a pod, turns injection off with the value "false". The
	// NetworkPolicy applies all the same.
	LabelInject = "egress.scw/inject"

	// AnnotationNoProxy, on a pod, adds comma-separated entries to NO_PROXY,
	// in the form that ParseNoProxy reads.
	AnnotationNoProxy = "egress.scw/no-proxy"

	// AnnotationSkipContainers, on a pod, names containers (comma-separated)
	// that are left as they are.
	AnnotationSkipContainers = "egress.scw/skip-containers"

	// AnnotationStatus is written on injected pods: JSON with the tenant, the
	// hash of what was injected and the version of the webhook.
	AnnotationStatus = "egress.scw/status"

	// PolicyName is the NetworkPolicy in every tenant namespace.
	PolicyName = "egress-scw"

	// FieldOwner owns what the webhook writes by server-side apply.
	FieldOwner = "egress-webhook"
)

// HeaderGeneration is the header with which Squid tells, on a tenant's port,
// which Generation of the tenant it serves.
const HeaderGeneration = "X-Egress-Generation"

// The proxy listens for tenants in one fixed range, so that the firewall of
// the proxy VM never has to change with the tenants. Squid is compiled to listen
// on 128 ports (MAXTCPLISTENPORTS) and ignores any further one without a word:
// 127 are for tenants, and one, Squid's usual 3128, is for its own statistics.
const (
	ProxyPortMin = 3129
	ProxyPortMax = 3255
)

// Bounds of a tenant's bandwidth, in KiB a second. Below, Squid takes seconds for
// a page of its own; above, it can no longer count the bytes in 31 bits.
const (
	BandwidthMin = 16
	BandwidthMax = 1 << 20
)
