package names

const (
	// AnnotationNoProxy on a pod adds comma-separated entries to NO_PROXY,
	// each in the form that noproxy.Parse accepts.
	AnnotationNoProxy = "egress.scw/no-proxy"

	// AnnotationSkipContainers on a pod lists the containers (comma-separated
	// names) that are not injected.
	AnnotationSkipContainers = "egress.scw/skip-containers"

	// AnnotationStatus on an injected pod is an InjectionStatus in JSON.
	AnnotationStatus = "egress.scw/status"
)

// InjectionStatus is the value of AnnotationStatus.
type InjectionStatus struct {
	// Tenant is the name of the EgressTenant.
	Tenant string `json:"tenant"`
	// Hash identifies the injected configuration, without the entries that the
	// pod's own annotation adds: pods of a namespace with different hashes were
	// created under different configurations. 16 hexadecimal digits.
	Hash string `json:"hash"`
	// Version is the version of the webhook that injected the pod.
	Version string `json:"version"`
}
