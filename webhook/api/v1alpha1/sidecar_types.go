package v1alpha1

// Capture selects the connections that the sidecar takes without the application's
// consent.
//
// +kubebuilder:validation:Enum=None;Names
type Capture string

const (
	// CaptureNone takes no connections: applications use the sidecar by the proxy
	// variables.
	CaptureNone Capture = "None"
	// CaptureNames resolves every name outside of the cluster to an address of the
	// sidecar's own, and sends connections to this address through the proxy by name.
	CaptureNames Capture = "Names"
)

// Sidecar adds a container to the tenant's pods, which sends their requests to the
// proxy with the tenant's certificate.
//
// +kubebuilder:object:generate=true
type Sidecar struct {
	// capture selects the connections that the sidecar takes without the
	// application's consent. None: applications use the sidecar by the proxy variables.
	// Names: the sidecar is the pod's DNS server too, and programs that read no proxy
	// variables reach hosts by name through the proxy, on the ports of allow.ports.
	//
	// +kubebuilder:default=None
	// +optional
	Capture Capture `json:"capture,omitempty"`

	// resources are those of the sidecar's container. Without a value, it requests 10m
	// of CPU and 16Mi of memory, and is limited to 64Mi of memory. The CPU has no limit
	// by default.
	//
	// +optional
	Resources SidecarResources `json:"resources,omitzero"`
}

// SidecarResources are the resources of the sidecar's container.
//
// +kubebuilder:object:generate=true
type SidecarResources struct {
	// requests are the resources that the scheduler reserves.
	//
	// +optional
	Requests ResourceAmounts `json:"requests,omitzero"`

	// limits bound the resources. A memory limit is at least 16Mi.
	//
	// +optional
	Limits ResourceAmounts `json:"limits,omitzero"`
}

// ResourceAmounts are amounts of CPU and memory. An empty amount is not set.
//
// +kubebuilder:object:generate=true
type ResourceAmounts struct {
	// cpu is a number of CPUs, such as "0.5", or of thousandths of one, such as 500m.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:Pattern=`^([0-9]+([.][0-9]{1,3})?|[0-9]+m)$`
	// +optional
	CPU string `json:"cpu,omitempty"`

	// memory is a number of bytes, such as 64Mi.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=12
	// +kubebuilder:validation:Pattern=`^[0-9]+(k|Ki|M|Mi|G|Gi)?$`
	// +optional
	Memory string `json:"memory,omitempty"`
}

// DNS selects the names that a tenant's pods can resolve.
//
// +kubebuilder:validation:Enum=Cluster;Closed
type DNS string

const (
	// DNSCluster is the cluster's DNS, which resolves public names too.
	DNSCluster DNS = "Cluster"
	// DNSClosed is a DNS server that only knows names of the cluster: no query of the
	// tenant leaves the cluster.
	DNSClosed DNS = "Closed"
)

// Identity is the way in which the proxy recognises the tenant of a connection. It is
// the same for all tenants of a proxy.
type Identity string

const (
	// IdentityPort recognises tenants by their port, to which NetworkPolicies admit
	// their pods alone.
	IdentityPort Identity = "Port"
	// IdentityOffered recognises tenants by the certificates of their sidecars, and by
	// their ports too.
	IdentityOffered Identity = "Offered"
	// IdentityRequired recognises tenants by the certificates of their sidecars alone.
	IdentityRequired Identity = "Required"
)

// Identities returns every identity.
func Identities() []Identity { return []Identity{IdentityPort, IdentityOffered, IdentityRequired} }

// HasSidecar reports whether the tenant's pods get the sidecar.
func (s *EgressTenantSpec) HasSidecar() bool { return s.Sidecar != nil }

// CapturesNames reports whether the sidecar is the DNS server of the tenant's pods.
func (s *EgressTenantSpec) CapturesNames() bool {
	return s.Sidecar != nil && s.Sidecar.Capture == CaptureNames
}

// HasClosedDNS reports whether the tenant's pods resolve names of the cluster only.
func (s *EgressTenantSpec) HasClosedDNS() bool { return s.DNS == DNSClosed }
