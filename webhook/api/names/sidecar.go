package names

// The sidecar of a pod, and the Secret that it reads.
const (
	// SidecarName is the name of the sidecar's container, of its volume, and of the
	// Secret in the tenant's namespaces (type Opaque) that the volume mounts.
	SidecarName = "egress-sidecar"
	// SidecarFolder is the folder of the volume in the container. It is read-only, and
	// empty until the Secret exists.
	SidecarFolder = "/etc/egress-sidecar"
	// SidecarProgram is the path of the sidecar's program in its image.
	SidecarProgram = "/sidecar"
	// RelayStatePath is the path on RelayPort at which the sidecar reports its state, in
	// JSON: whether its files are in use, and which machines are passed over.
	RelayStatePath = "/egress-sidecar"
	// CapturedRange is the range of the addresses that the sidecar gives to captured
	// names. All of 127.0.0.0/8 is local on Linux; programs use the lower half for
	// themselves.
	CapturedRange = "127.128.0.0/9"
	// CertificateOrganization is the organization (O) in the subject of a tenant's
	// certificate. The common name (CN) is the name of the EgressTenant.
	CertificateOrganization = "egress.scw"
)

// Keys of the Secret SidecarName.
const (
	// SidecarCertificateKey is the tenant's certificate, for client authentication, in PEM.
	SidecarCertificateKey = "tls.crt"
	// SidecarPrivateKeyKey is the key of the certificate, in PEM.
	SidecarPrivateKeyKey = "tls.key"
	// SidecarConfigKey is the configuration of sidecars (package api/sidecar), in JSON.
	SidecarConfigKey = "config.json"
)

// Environment variables of the sidecar, which the downward API sets.
const (
	EnvPodNamespace = "POD_NAMESPACE"
	EnvPodName      = "POD_NAME"
	EnvPodIP        = "POD_IP"
)

// EnvPodPorts is an environment variable of the sidecar: the TCP ports of the pod's own
// containers (containerPort) among the tenant's, sorted, separated by commas. The sidecar
// does not capture connections to them, because two programs cannot listen on one port
// if one of them does on all addresses. It is not set if there are none.
const EnvPodPorts = "POD_PORTS"

// The authority that issues the certificates of tenants, in the namespace of the
// webhook. Its certificate is public; bootstrap copies it to the proxy machines.
const (
	// AuthorityConfigMap is the name of the ConfigMap with the authority's certificate.
	AuthorityConfigMap = "egress-sidecar-ca"
	// AuthorityKey is the key of the certificate in the ConfigMap, in PEM.
	AuthorityKey = "ca.crt"
)
