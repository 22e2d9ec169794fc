package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Path is the way on which a tenant's traffic leaves the cluster.
//
// +kubebuilder:validation:Enum=Proxy
type Path string

// PathProxy leads through Squid: filtered, audited, from the proxy's address.
const PathProxy Path = "Proxy"

// EgressIP says whether a tenant's requests leave the proxy by an address of
// its own.
//
// +kubebuilder:validation:Enum=Shared;Dedicated
type EgressIP string

const (
	// EgressIPShared is the proxy's address, by which all tenants leave that
	// have none of their own.
	EgressIPShared EgressIP = "Shared"
	// EgressIPDedicated is an address by which no other tenant leaves.
	EgressIPDedicated EgressIP = "Dedicated"
)

// MaxDedicatedAddresses bounds the tenants of a proxy that are Dedicated: a
// Scaleway Instance takes five IPv4 addresses, and one is the shared one.
const MaxDedicatedAddresses = 4

// EgressTenant is one customer of the cluster: the way its traffic leaves by,
// and the port of the proxy that identifies it. Namespaces join it with the
// label egress.scw/tenant.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=et
// +kubebuilder:printcolumn:name="Path",type=string,JSONPath=`.spec.path`
// +kubebuilder:printcolumn:name="Port",type=integer,JSONPath=`.spec.proxy.port`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Proxy",type=string,JSONPath=`.status.proxyURL`,priority=1
// +kubebuilder:printcolumn:name="Egress",type=string,JSONPath=`.status.egressIPs`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 63",message="metadata.name must be a DNS label (lower case letters, digits and dashes, at most 63 characters), because namespaces carry it as a label value"
type EgressTenant struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec is what the platform team decides about the tenant.
	//
	// +required
	Spec EgressTenantSpec `json:"spec"`

	// Status is what the webhook's controllers found.
	//
	// +optional
	Status EgressTenantStatus `json:"status,omitzero"`
}

// EgressTenantSpec is what the platform team decides about a tenant.
//
// +kubebuilder:object:generate=true
type EgressTenantSpec struct {
	// Path is the way the tenant's traffic leaves by.
	//
	// +kubebuilder:default=Proxy
	// +optional
	Path Path `json:"path,omitempty"`

	// Proxy says how the tenant uses the proxy.
	//
	// +required
	Proxy ProxySpec `json:"proxy"`

	// Allow says what the tenant may reach through the proxy. Without it, that
	// is every public host on ports 80 and 443, as with mode Open.
	//
	// +optional
	Allow *AllowSpec `json:"allow,omitempty"`

	// NoProxy lists further destinations that the tenant's pods reach without
	// the proxy: IP addresses, CIDRs, and domain names, which stand for
	// themselves and everything below them. At most 64, each of at most 253
	// characters, without port and asterisk. They end up in NO_PROXY, which as
	// a whole has at most 4096 bytes, or pods are refused. This only tells
	// applications not to ask the proxy; it opens nothing in the NetworkPolicy.
	//
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[^\s,*"'\\]+$`
	// +listType=set
	// +optional
	NoProxy []string `json:"noProxy,omitempty"`
}

// ProxySpec is a tenant's part of the proxy.
//
// +kubebuilder:object:generate=true
type ProxySpec struct {
	// Port is the tenant's own port on the proxy, 3129 to 3255. The
	// NetworkPolicy admits the tenant's pods to no other, so that the port is
	// the tenant's identity: no two tenants may share one.
	//
	// +kubebuilder:validation:Minimum=3129
	// +kubebuilder:validation:Maximum=3255
	// +required
	Port int32 `json:"port"`

	// EgressIP says which address the tenant's requests leave the proxy by:
	// Shared, the one of all tenants that ask for none, or Dedicated, one that
	// is this tenant's alone. At most 4 tenants of a proxy are Dedicated.
	//
	// +kubebuilder:default=Shared
	// +optional
	EgressIP EgressIP `json:"egressIP,omitempty"`

	// BandwidthKiB bounds what the proxy fetches for the tenant, all requests
	// and tunnels together, in KiB (1024 bytes) a second: 16 to 1048576. What
	// the tenant's clients send is not bounded. Without it, nothing is.
	//
	// +kubebuilder:validation:Minimum=16
	// +kubebuilder:validation:Maximum=1048576
	// +optional
	BandwidthKiB int32 `json:"bandwidthKiB,omitempty"`
}

// EgressTenantStatus is what the webhook's controllers found.
//
// +kubebuilder:object:generate=true
type EgressTenantStatus struct {
	// ObservedGeneration is the generation of the spec that the status is about.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions are Ready and PolicyApplied.
	//
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// ProxyURL is what pods of the tenant find in HTTP_PROXY.
	//
	// +optional
	ProxyURL string `json:"proxyURL,omitempty"`

	// EgressIPs are the addresses that the tenant's requests leave the proxy
	// by, as whoever provisions the proxy published them. Empty: none was
	// published for the tenant.
	//
	// +listType=set
	// +optional
	EgressIPs []string `json:"egressIPs,omitempty"`

	// Namespaces are the namespaces that carry the tenant's label, sorted.
	// Protected ones (kube-system, for example) are not among them: they can
	// belong to no tenant.
	//
	// +listType=set
	// +optional
	Namespaces []string `json:"namespaces,omitempty"`
}

// EgressTenantList is a list of tenants.
//
// +kubebuilder:object:root=true
type EgressTenantList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	// Items are the tenants.
	Items []EgressTenant `json:"items"`
}

// Tenant is an EgressTenant as people write it in lists: in the chart's value
// "tenants", and in egress.yaml.
//
// +kubebuilder:object:generate=true
type Tenant struct {
	// Name is the EgressTenant's name.
	Name string `json:"name"`

	EgressTenantSpec `json:",inline"`
}
