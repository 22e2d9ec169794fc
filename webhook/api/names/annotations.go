package names

const (
	// AnnotationNoProxy on a pod adds comma-separated entries to NO_PROXY,
	// each in the form that noproxy.Parse accepts.
	AnnotationNoProxy = "egress.scw/no-proxy"

	// AnnotationSkipContainers on a pod lists the containers (comma-separated
	// names) that are not injected.
	AnnotationSkipContainers = "egress.scw/skip-containers"

	// AnnotationRuntimes on a pod lists its language runtimes (comma-separated names)
	// in place of the tenant's runtimes. Empty, it stands for none.
	AnnotationRuntimes = "egress.scw/runtimes"

	// AnnotationSkipOwners on a namespace lists kinds, as in "Cluster.postgresql.cnpg.io"
	// (comma-separated, KIND.GROUP), whose pods are not injected: those of operators
	// that compare pods with their own template. The NetworkPolicy applies
	// nevertheless.
	AnnotationSkipOwners = "egress.scw/skip-owners"

	// AnnotationStatus on an injected pod is an InjectionStatus in JSON.
	AnnotationStatus = "egress.scw/status"
)

// InjectionStatus is the value of AnnotationStatus.
type InjectionStatus struct {
	// Tenant is the name of the EgressTenant.
	Tenant string `json:"tenant"`
	// Hash identifies the injected configuration, without the pod's own annotations,
	// and without Services and the tenant's other namespaces, which come and go: pods
	// of a namespace with different hashes were created under different
	// configurations. 16 hexadecimal digits.
	Hash string `json:"hash"`
	// Values identifies the injected values of the proxy variables as a whole. A pod
	// that is created again with these values, from a backup or as a copy, gets the
	// present ones. 16 hexadecimal digits.
	Values string `json:"values"`
	// Version is the version of the webhook that injected the pod.
	Version string `json:"version"`
}
