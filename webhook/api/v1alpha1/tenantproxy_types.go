package v1alpha1

// EgressIP selects the address that a tenant's requests leave the proxy by.
//
// +kubebuilder:validation:Enum=Shared;Dedicated
type EgressIP string

const (
	// EgressIPShared is the proxy's address, which all tenants without an address
	// of their own share.
	EgressIPShared EgressIP = "Shared"
	// EgressIPDedicated is an address that no other tenant's requests leave by.
	EgressIPDedicated EgressIP = "Dedicated"
)

// MaxDedicatedAddresses bounds the tenants of a proxy with a dedicated address: a
// Scaleway Instance takes five IPv4 addresses, and one is the shared one.
const MaxDedicatedAddresses = 4

// Bounds of a tenant's bandwidth, in KiB a second. Below 16, Squid takes seconds
// for one of its own error pages; above 1 GiB, it can no longer count the bytes
// in 31 bits.
const (
	BandwidthMin = 16
	BandwidthMax = 1 << 20
)

// TenantProxy configures a tenant's use of the proxy.
//
// +kubebuilder:object:generate=true
type TenantProxy struct {
	// port is the tenant's own port on the proxy, 3129 to 3255. The NetworkPolicy
	// allows the tenant's pods no other port of the proxy, so that the port is the
	// tenant's identity: no two tenants may share one.
	//
	// +kubebuilder:validation:Minimum=3129
	// +kubebuilder:validation:Maximum=3255
	// +required
	Port int32 `json:"port"`

	// egressIP selects the address that the tenant's requests leave the proxy by:
	// Shared, which all tenants without an address of their own use, or Dedicated,
	// which only this tenant uses. At most 4 tenants of a proxy are Dedicated.
	//
	// +kubebuilder:default=Shared
	// +optional
	EgressIP EgressIP `json:"egressIP,omitempty"`

	// bandwidthKiB bounds the data that the proxy fetches for the tenant, all
	// requests and tunnels together, in KiB (1024 bytes) a second: 16 to 1048576.
	// Data that the tenant's clients send is not bounded. Without this field,
	// there is no bound; 0 is not valid.
	//
	// +kubebuilder:validation:Minimum=16
	// +kubebuilder:validation:Maximum=1048576
	// +optional
	BandwidthKiB int32 `json:"bandwidthKiB,omitempty"`
}
