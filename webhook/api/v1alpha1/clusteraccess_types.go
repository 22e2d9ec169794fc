package v1alpha1

// ClusterAccess is a destination that a tenant's pods reach without the proxy:
// pods of a namespace, a private range of addresses, or the API server. Exactly
// one of namespace, cidr and apiServer is set.
//
// +kubebuilder:object:generate=true
// +kubebuilder:validation:XValidation:rule="(has(self.__namespace__) ? 1 : 0) + (has(self.cidr) ? 1 : 0) + (has(self.apiServer) && self.apiServer ? 1 : 0) == 1",message="exactly one of namespace, cidr and apiServer: true must be set"
// +kubebuilder:validation:XValidation:rule="!has(self.podLabels) || has(self.__namespace__)",message="podLabels select pods of a namespace: set namespace"
// +kubebuilder:validation:XValidation:rule="has(self.apiServer) && self.apiServer ? !has(self.ports) : has(self.ports)",message="ports must be set for a namespace or a cidr, and must not be set for apiServer, whose ports are known"
type ClusterAccess struct {
	// namespace is the name of a namespace whose pods the tenant may reach. It may
	// belong to another tenant.
	//
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^([a-z0-9][-a-z0-9]*)?[a-z0-9]$`
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// podLabels select pods of the namespace. Without them, all of its pods are
	// selected.
	//
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=8
	// +optional
	PodLabels map[string]string `json:"podLabels,omitempty"`

	// cidr is a range of private addresses (10.0.0.0/8, 100.64.0.0/10,
	// 172.16.0.0/12, 192.168.0.0/16, fc00::/7), without host bits. Public
	// destinations are reached through the proxy. The proxy's own addresses are
	// excluded from the range.
	//
	// +kubebuilder:validation:MaxLength=43
	// +kubebuilder:validation:Pattern=`^[0-9a-fA-F.:]+/[0-9]{1,3}$`
	// +optional
	CIDR string `json:"cidr,omitempty"`

	// apiServer is true for the API server of the cluster, on its own port.
	//
	// +optional
	APIServer bool `json:"apiServer,omitempty"`

	// ports are the TCP ports of the destination, at most 16. Required for a
	// namespace and a cidr. For a namespace they are the ports of the pods, not of
	// their Service.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Minimum=1
	// +kubebuilder:validation:items:Maximum=65535
	// +listType=set
	// +optional
	Ports []int32 `json:"ports,omitempty"`
}

// Bounds of a tenant's clusterAccess: every entry becomes a rule of the
// NetworkPolicy.
const (
	maxClusterAccess = 32
	maxAccessPorts   = 16
	maxPodLabels     = 8
)
