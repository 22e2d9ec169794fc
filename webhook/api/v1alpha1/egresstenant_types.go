package v1alpha1

import (
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/webhook/api/names"
)

// Path is the egress path of a tenant: the route on which its traffic leaves the
// cluster.
//
// +kubebuilder:validation:Enum=Proxy;Gateway
type Path string

const (
	// PathProxy leads through Squid: filtered, audited, from the proxy's address.
	PathProxy Path = "Proxy"
	// PathGateway leads directly to the public internet, from the address of the
	// Public Gateway: neither filtered by domain nor audited.
	PathGateway Path = "Gateway"
)

// Ingress selects the sources of connections to a tenant's pods.
//
// +kubebuilder:validation:Enum=Open;Tenant
type Ingress string

const (
	// IngressOpen leaves connections to the tenant's pods unrestricted.
	IngressOpen Ingress = "Open"
	// IngressTenant admits connections from the tenant's own pods, and from the
	// namespaces of ingressFrom.
	IngressTenant Ingress = "Tenant"
)

// EgressTenant is one customer of the cluster: its egress path, and the port of
// the proxy that identifies it. Namespaces join it with the label
// egress.scw/tenant.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=et,categories=egress
// +kubebuilder:printcolumn:name="Path",type=string,JSONPath=`.spec.path`
// +kubebuilder:printcolumn:name="Port",type=integer,JSONPath=`.spec.proxy.port`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Proxy",type=string,JSONPath=`.status.proxyURL`,priority=1
// +kubebuilder:printcolumn:name="Egress",type=string,JSONPath=`.status.egressAddresses`,priority=1
// +kubebuilder:printcolumn:name="Guarded",type=string,JSONPath=`.status.conditions[?(@.type=="Guarded")].status`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 63",message="metadata.name must be a DNS label (lower case letters, digits and dashes, at most 63 characters), because namespaces carry it as a label value"
type EgressTenant struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard metadata of a Kubernetes object.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the configuration of the tenant, written by the platform team.
	//
	// +required
	Spec EgressTenantSpec `json:"spec"`

	// status is the state that the webhook's controllers observed.
	//
	// +optional
	Status EgressTenantStatus `json:"status,omitzero"`
}

// EgressTenantSpec is the configuration of a tenant, written by the platform
// team. Each egress path has a field of its own, which is required for this path.
//
// +kubebuilder:object:generate=true
// +kubebuilder:validation:XValidation:rule="self.path != 'Proxy' || has(self.proxy)",message="proxy is required with path Proxy: set proxy.port"
// +kubebuilder:validation:XValidation:rule="self.path != 'Gateway' || !has(self.proxy)",message="proxy must not be set with path Gateway, which does not use the proxy"
// +kubebuilder:validation:XValidation:rule="self.path != 'Gateway' || !has(self.allow)",message="allow must not be set with path Gateway: only the proxy filters by domain"
// +kubebuilder:validation:XValidation:rule="self.path != 'Gateway' || !has(self.noProxy)",message="noProxy must not be set with path Gateway, which does not use the proxy"
// +kubebuilder:validation:XValidation:rule="self.path != 'Gateway' || !has(self.runtimes)",message="runtimes must not be set with path Gateway, which does not use the proxy"
// +kubebuilder:validation:XValidation:rule="self.path != 'Gateway' || !has(self.sidecar)",message="sidecar must not be set with path Gateway, which does not use the proxy"
// +kubebuilder:validation:XValidation:rule="self.path != 'Gateway' || self.dns != 'Closed'",message="dns must not be Closed with path Gateway: pods resolve the names of public hosts themselves"
// +kubebuilder:validation:XValidation:rule="!has(self.ingressFrom) || self.ingress == 'Tenant'",message="ingressFrom has no effect unless ingress is Tenant"
type EgressTenantSpec struct {
	// path is the route on which the tenant's traffic leaves the cluster.
	//
	// +kubebuilder:default=Proxy
	// +optional
	Path Path `json:"path,omitempty"`

	// proxy configures the tenant's use of the proxy. Required with path Proxy.
	//
	// +optional
	Proxy *TenantProxy `json:"proxy,omitempty"`

	// allow lists the hosts and ports that the tenant may reach through the
	// proxy. Without it, the tenant may reach every public host on ports 80 and
	// 443, as with mode Open.
	//
	// +optional
	Allow *AllowSpec `json:"allow,omitempty"`

	// noProxy lists further destinations that the tenant's pods reach without
	// the proxy: IP addresses, CIDRs, and domain names, which stand for
	// themselves and all names below them. At most 64, each of at most 253
	// characters, without port and asterisk. They are added to NO_PROXY, which
	// has at most 4096 bytes altogether, or pods are refused. The list only keeps
	// applications from using the proxy; it opens nothing in the NetworkPolicy.
	//
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[^\s,*"'\\]+$`
	// +listType=set
	// +optional
	NoProxy []string `json:"noProxy,omitempty"`

	// runtimes are the language runtimes of the tenant's pods whose clients read the
	// proxy variables only if a further variable asks for it. Java: JAVA_TOOL_OPTIONS
	// gets the proxy and the hosts of NO_PROXY in Java's own syntax. Node:
	// NODE_USE_ENV_PROXY=1. Perl: PERL_LWP_ENV_PROXY=1 and MOJO_PROXY=1. The pod's
	// annotation egress.scw/runtimes replaces the list.
	//
	// +kubebuilder:validation:MaxItems=3
	// +listType=set
	// +optional
	Runtimes []Runtime `json:"runtimes,omitempty"`

	// sidecar adds a container to the tenant's pods, which sends their requests to the
	// proxy with the tenant's certificate. It needs a proxy with identity Offered or
	// Required. Without sidecar, pods connect to the tenant's port of the proxy.
	//
	// +optional
	Sidecar *Sidecar `json:"sidecar,omitempty"`

	// dns selects the names that the tenant's pods can resolve. Cluster: the cluster's
	// DNS, which resolves public names too. Closed: names of the cluster alone, by a
	// DNS server of the webhook's chart. No query of the tenant leaves the cluster, and
	// the proxy resolves public names.
	//
	// +kubebuilder:default=Cluster
	// +optional
	DNS DNS `json:"dns,omitempty"`

	// clusterAccess lists further destinations that the tenant's pods reach
	// without the proxy: in the cluster, or in private networks. They are opened
	// in the NetworkPolicy and added to NO_PROXY. At most 32.
	//
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +optional
	ClusterAccess []ClusterAccess `json:"clusterAccess,omitempty"` //nolint:kubeapilinter // a union: the schema requires one of its fields

	// ingress selects the sources of connections to the tenant's pods: Open does
	// not restrict them; Tenant admits the tenant's own pods, and the namespaces of
	// ingressFrom. Nodes always reach their own pods.
	//
	// +kubebuilder:default=Open
	// +optional
	Ingress Ingress `json:"ingress,omitempty"`

	// ingressFrom are the names of namespaces whose pods may connect to the
	// tenant's pods, with ingress Tenant: those of the ingress controller, for
	// example. At most 16.
	//
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^([a-z0-9][-a-z0-9]*)?[a-z0-9]$`
	// +listType=set
	// +optional
	IngressFrom []string `json:"ingressFrom,omitempty"`

	// nodePool confines the tenant's pods to nodes.
	//
	// +optional
	NodePool *NodePool `json:"nodePool,omitempty"`
}

// IsProxied reports whether the tenant's traffic leaves through the proxy.
func (s *EgressTenantSpec) IsProxied() bool { return s.Path == "" || s.Path == PathProxy }

// ProxyPort returns the tenant's port on the proxy, 0 without spec.proxy.
func (s *EgressTenantSpec) ProxyPort() int32 {
	if s.Proxy == nil {
		return 0
	}
	return s.Proxy.Port
}

// AdmittedPort returns the port of the proxy to which NetworkPolicies admit the
// tenant's pods: the tenant's port, once its status names it. It is 0 for a new
// tenant, and for one whose port has changed, until the proxy serves the tenant on
// the port.
func (t *EgressTenant) AdmittedPort() int32 {
	port := t.Spec.ProxyPort()
	if port != t.Status.ProxyPort() {
		return 0
	}
	return port
}

// ServiceAddress returns the address of the tenant's Service, by which new pods reach
// the proxy. It is empty while there is no such Service.
func (t *EgressTenant) ServiceAddress() string {
	for i := range t.Status.Conditions {
		if c := &t.Status.Conditions[i]; c.Type == names.ConditionServiceReady && c.Status == metav1.ConditionTrue {
			return t.Status.ServiceIP
		}
	}
	return ""
}

// ProxyPort returns the port of the proxy that the status names, 0 if it names none.
// The webhook of a version without Services wrote it into proxyURL alone.
func (s *EgressTenantStatus) ProxyPort() int32 {
	if s.AdmittedPort != 0 {
		return s.AdmittedPort
	}
	port, err := strconv.ParseUint(s.ProxyURL[strings.LastIndexByte(s.ProxyURL, ':')+1:], 10, 16)
	if err != nil {
		return 0
	}
	return int32(port)
}

// HasDedicatedIP reports whether the tenant's requests leave the proxy by an
// address of its own.
func (s *EgressTenantSpec) HasDedicatedIP() bool {
	return s.Proxy != nil && s.Proxy.EgressIP == EgressIPDedicated
}

// BandwidthKiB returns the bound of the tenant's bandwidth in KiB a second, 0
// for none.
func (s *EgressTenantSpec) BandwidthKiB() int32 {
	if s.Proxy == nil {
		return 0
	}
	return s.Proxy.BandwidthKiB
}

// EgressTenantStatus is the state that the webhook's controllers observed.
//
// +kubebuilder:object:generate=true
type EgressTenantStatus struct {
	// observedGeneration is the metadata.generation that the status is about.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, PolicyApplied, ProxyReachable, ServiceReady and Guarded, as the leading
	// replica of the webhook wrote them last: while no replica runs, they stay.
	//
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// proxyURL is the value of HTTP_PROXY in the tenant's new pods without the sidecar:
	// the address of the tenant's Service, and port 3128. While there is no Service, it
	// is the address of a proxy machine, and the tenant's port. Empty with path
	// Gateway, and until the proxy serves the tenant on its port.
	//
	// +optional
	ProxyURL string `json:"proxyURL,omitempty"`

	// admittedPort is the port of the proxy machines to which NetworkPolicies admit the
	// tenant's pods. Empty with path Gateway, and until the proxy serves the tenant on
	// its port.
	//
	// +optional
	AdmittedPort int32 `json:"admittedPort,omitempty"`

	// serviceIP is the address of the tenant's Service in the namespace of the webhook.
	// It stays when the Service is deleted, which then gets the same address again.
	//
	// +kubebuilder:validation:MaxLength=45
	// +optional
	ServiceIP string `json:"serviceIP,omitempty"`

	// noProxy is the part of NO_PROXY that all of the tenant's pods have in
	// common. The entries of the namespace, of its Services and of the tenant's other
	// namespaces, and those of the pod's annotation are not in it. Empty with path
	// Gateway.
	//
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	NoProxy string `json:"noProxy,omitempty"`

	// sourceAddresses are the addresses that the tenant's requests leave by, as
	// bootstrap published them: the proxy's, or with path Gateway the Public
	// Gateway's. Empty if it published none for the tenant; at most 16.
	//
	// +kubebuilder:validation:MaxItems=16
	// +listType=set
	// +optional
	SourceAddresses []string `json:"sourceAddresses,omitempty"`

	// egressAddresses are sourceAddresses in one string, separated by commas: a printer
	// column shows only the first item of a list, or the list as JSON.
	//
	// +optional
	EgressAddresses string `json:"egressAddresses,omitempty"`

	// namespaces are the namespaces that carry the tenant's label, sorted; the
	// first 100 if there are more. Protected namespaces (kube-system, for example)
	// are not in the list, because they cannot belong to a tenant.
	//
	// +kubebuilder:validation:MaxItems=100
	// +listType=set
	// +optional
	Namespaces []string `json:"namespaces,omitempty"`

	// optedOutNamespaces are those of the namespaces whose label egress.scw/inject
	// turns injection off, sorted; the first 100 if there are more. Their
	// NetworkPolicy is the same.
	//
	// +kubebuilder:validation:MaxItems=100
	// +listType=set
	// +optional
	OptedOutNamespaces []string `json:"optedOutNamespaces,omitempty"`

	// namespaceCount is the number of namespaces that carry the tenant's label,
	// including those that are not in the list.
	//
	// +optional
	NamespaceCount int32 `json:"namespaceCount,omitempty"`
}

// Bounds of a status: a tenant of thousands of namespaces would otherwise make
// every list of tenants large.
const (
	// MaxStatusNamespaces bounds the namespaces that a status lists.
	MaxStatusNamespaces = 100
	// MaxStatusSourceAddresses bounds the addresses that a status lists.
	MaxStatusSourceAddresses = 16
)

// maxIngressFrom bounds a tenant's ingressFrom.
const maxIngressFrom = 16

// EgressTenantList is a list of tenants.
//
// +kubebuilder:object:root=true
type EgressTenantList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	// items are the tenants.
	Items []EgressTenant `json:"items"`
}
