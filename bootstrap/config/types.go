package config

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/cloudinit"
	"egress.scw/webhook/api/v1alpha1"
)

// KindEgress is the kind of egress.yaml.
const KindEgress = "Egress"

// Egress is what egress.yaml holds: everything that bootstrap provisions at
// Scaleway for the tenants of one Private Network, and the tenants themselves.
// It lives in Git, not in a cluster.
type Egress struct {
	metav1.TypeMeta `json:",inline"`

	// Name tells this set-up from others in the project: all of its resources
	// are named after it, and carry a tag with it. A DNS label of at most 32
	// characters. To change it is to make everything anew.
	Name string `json:"name"`

	// Project is the ID of the Scaleway project. Empty: the one of the
	// credentials.
	Project string `json:"project,omitempty"`

	// Region holds what spans zones: network, cluster, registry. Empty: the
	// zone's.
	Region string `json:"region,omitempty"`

	// Zone holds the machines: gateway, proxy, and the nodes of pools without
	// a zone of their own.
	Zone string `json:"zone"`

	// Network is the Private Network of proxy and nodes.
	Network NetworkConfig `json:"network"`

	// Gateway is the Public Gateway of the network.
	Gateway GatewayConfig `json:"gateway,omitzero"`

	// Proxy is the machine that runs Squid.
	Proxy ProxyConfig `json:"proxy,omitzero"`

	// Cluster is the Kubernetes cluster of the tenants. Nil: there is one
	// elsewhere, or none.
	Cluster *ClusterConfig `json:"cluster,omitempty"`

	// Registry is a namespace of the container registry. Nil: none is made.
	Registry *RegistryConfig `json:"registry,omitempty"`

	// Tenants are whom the proxy serves.
	Tenants []v1alpha1.Tenant `json:"tenants,omitempty"`

	// Outputs are the files that bootstrap writes.
	Outputs OutputsConfig `json:"outputs,omitzero"`
}

// NetworkConfig names a Private Network or describes one to create. Exactly
// one of its fields is set.
type NetworkConfig struct {
	// ID is that of an existing Private Network, which is used and never
	// changed or removed.
	ID string `json:"id,omitempty"`

	// CIDR is the range of a network to create, in a VPC of its own: private
	// IPv4 (RFC 1918), between /20 and /28.
	CIDR string `json:"cidr,omitempty"`
}

// GatewayConfig describes the Public Gateway, by whose address leaves whatever
// has no public address of its own: nodes, and with Proxy.Egress Gateway all
// requests of tenants.
type GatewayConfig struct {
	// Enabled says whether there is one. Default: true.
	Enabled *bool `json:"enabled,omitempty"`

	// Type is its commercial type. Default: VPC-GW-S. It can be raised in
	// place, not lowered.
	Type string `json:"type,omitempty"`

	// Masquerade says whether it translates addresses, without which nothing
	// gets out. Default: true.
	Masquerade *bool `json:"masquerade,omitempty"`

	// DefaultRoute says whether it announces itself as the way out to the
	// network. Default: true.
	DefaultRoute *bool `json:"defaultRoute,omitempty"`
}

// ProxyConfig describes the machine that runs Squid.
type ProxyConfig struct {
	// Type is the Instance's commercial type. Default: PLAY2-NANO.
	Type string `json:"type,omitempty"`

	// Image is the label of an image of Scaleway's marketplace. Default:
	// debian_bookworm, whose packages this product is tested with.
	Image string `json:"image,omitempty"`

	// VolumeGB is the size of the boot volume in GB (10^9 bytes), 10 to 1000.
	// The audit log lives there. Default: 20.
	VolumeGB int32 `json:"volumeGB,omitempty"`

	// PrivateIP is the proxy's address in the Private Network: the one that
	// pods are given. Private IPv4 (RFC 1918), in Network.CIDR, neither its
	// first nor its last address, and in no range of the cluster.
	PrivateIP string `json:"privateIP"`

	// Egress says which address requests leave by. Default: FlexibleIP.
	Egress cloudinit.SourceAddress `json:"egress,omitempty"`

	// NameServers resolve the names that tenants ask for: IPv4, at most 3, and
	// public with egress FlexibleIP, by which they are asked. Default:
	// Scaleway's resolvers in the zone; required where it documents none.
	NameServers []string `json:"nameServers,omitempty"`

	// SSHSources are the networks that may reach the proxy by SSH, on its
	// flexible IP: IPv4 CIDRs, and not 0.0.0.0/0. Default: none, and then no
	// SSH server runs. There are none with egress Gateway.
	SSHSources []string `json:"sshSources,omitempty"`

	// AuditLog says where the audit log goes beside the proxy's own disk.
	AuditLog AuditLogConfig `json:"auditLog,omitzero"`
}

// AuditLogConfig says where the audit log goes beside the proxy's own disk.
type AuditLogConfig struct {
	// Syslog is a server that is sent every line. Nil: none is.
	Syslog *cloudinit.Syslog `json:"syslog,omitempty"`
}

// ClusterConfig names a Kubernetes cluster (Kapsule) or describes one to
// create.
type ClusterConfig struct {
	// ID is that of an existing cluster, in the same Private Network. It is
	// used and never changed or removed; Pools are added to it. Excludes all
	// fields but Pools.
	ID string `json:"id,omitempty"`

	// CIDRs are the ranges of pods and Services of a cluster that bootstrap
	// has nothing to do with; it only writes them into the chart's values.
	// Excludes all other fields.
	CIDRs []string `json:"cidrs,omitempty"`

	// Version is Kubernetes' version (1.34.1), or its minor (1.34) for the
	// newest patch there is when the cluster is created. Upgrades are not
	// bootstrap's business: a version that the cluster has left behind, or a
	// minor that it has, is no difference.
	Version string `json:"version,omitempty"`

	// CNI is cilium, cilium_native, calico or none. Default: cilium. It must
	// enforce NetworkPolicies. It is fixed when the cluster is created.
	CNI string `json:"cni,omitempty"`

	// PodCIDR is the range of the pods: IPv4, private (RFC 1918) or in
	// 100.64.0.0/10, apart from Network.CIDR and ServiceCIDR. It is fixed when
	// the cluster is created. Default: 100.64.0.0/15.
	PodCIDR string `json:"podCIDR,omitempty"`

	// ServiceCIDR is the range of the Services, under the same conditions.
	// Default: 10.32.0.0/20.
	ServiceCIDR string `json:"serviceCIDR,omitempty"`

	// ACL lists the CIDRs that may reach the control plane. Default: none is
	// set, and Scaleway admits everybody.
	ACL []string `json:"acl,omitempty"`

	// AutoUpgrade has Scaleway install patches in a window of two hours. Nil:
	// it does not.
	AutoUpgrade *AutoUpgradeConfig `json:"autoUpgrade,omitempty"`

	// Autoscaler sets the cluster's autoscaler. Nil: Scaleway's defaults.
	Autoscaler *AutoscalerConfig `json:"autoscaler,omitempty"`

	// Pools are the pools of nodes. Their nodes have no public addresses.
	Pools []PoolConfig `json:"pools,omitempty"`
}

// AutoUpgradeConfig is a maintenance window of two hours.
type AutoUpgradeConfig struct {
	// Day is monday to sunday, or any.
	Day string `json:"day"`

	// StartHour is when it begins, UTC, 0 to 23.
	StartHour int32 `json:"startHour"`
}

// AutoscalerConfig sets the cluster autoscaler. What is not set is left at
// Scaleway's default.
type AutoscalerConfig struct {
	// Expander chooses the pool that grows: random, most_pods, least_waste,
	// priority or price.
	Expander string `json:"expander,omitempty"`

	// ScaleDownDisabled keeps every node.
	ScaleDownDisabled *bool `json:"scaleDownDisabled,omitempty"`

	// ScaleDownDelayAfterAdd and ScaleDownUnneededTime are durations (10m).
	ScaleDownDelayAfterAdd string `json:"scaleDownDelayAfterAdd,omitempty"`
	ScaleDownUnneededTime  string `json:"scaleDownUnneededTime,omitempty"`
}

// PoolConfig describes a pool of nodes without public addresses.
type PoolConfig struct {
	// Name is unique in the cluster: a DNS label.
	Name string `json:"name"`

	// Tenant keeps the pool to one tenant: its nodes get the label
	// egress.scw/tenant and a taint of the same key, both with the tenant's
	// name, beside those below.
	Tenant string `json:"tenant,omitempty"`

	// NodeType is the nodes' commercial type (PRO2-XXS). A pool's cannot
	// change.
	NodeType string `json:"nodeType"`

	// Zone of the nodes. Default: Egress.Zone. A pool's cannot change.
	Zone string `json:"zone,omitempty"`

	// Size is the number of nodes; with Autoscaling, the number to begin with.
	// Default: 1, or Autoscaling.Min if that is more.
	Size int32 `json:"size,omitempty"`

	// Autoscaling lets the number vary. Nil: it is Size.
	Autoscaling *AutoscalingConfig `json:"autoscaling,omitempty"`

	// Autohealing replaces nodes that fail. Default: true.
	Autohealing *bool `json:"autohealing,omitempty"`

	// VolumeGB is the size of each node's boot volume in GB (10^9 bytes), from
	// 20 on. Default: 20. A pool's cannot change.
	VolumeGB int32 `json:"volumeGB,omitempty"`

	// Labels are labels of the nodes.
	Labels map[string]string `json:"labels,omitempty"`

	// Taints are taints of the nodes.
	Taints []TaintConfig `json:"taints,omitempty"`
}

// AutoscalingConfig bounds the number of a pool's nodes.
type AutoscalingConfig struct {
	// Min and Max are the smallest and the largest number of nodes: Min from 0
	// on, Max from 1 on and not below Min.
	Min int32 `json:"min"`
	Max int32 `json:"max"`
}

// TaintConfig is a taint of nodes.
type TaintConfig struct {
	// Key has the form of a label's key, and is not egress.scw/tenant, which
	// comes with PoolConfig.Tenant.
	Key string `json:"key"`

	// Value has the form of a label's value, of at most 63 characters. Default:
	// empty.
	Value string `json:"value,omitempty"`

	// Effect is NoSchedule, PreferNoSchedule or NoExecute.
	Effect string `json:"effect"`
}

// RegistryConfig describes a namespace of the container registry.
type RegistryConfig struct {
	// Name is unique in the region, across all of Scaleway's customers.
	Name string `json:"name"`

	// Public says whether everybody may pull. Default: false.
	Public bool `json:"public,omitempty"`
}

// OutputsConfig are the files that bootstrap writes. Relative paths begin at
// the folder of egress.yaml.
type OutputsConfig struct {
	// Kubeconfig is written for a cluster that bootstrap made or was given; a
	// file that exists is merged with. Default: kubeconfig.yaml.
	Kubeconfig string `json:"kubeconfig,omitempty"`

	// Values are those of the chart. Default: values.yaml.
	Values string `json:"values,omitempty"`

	// HideKubeconfig keeps the cluster's credentials out of everything that is
	// printed: they are in the file alone. Default: true.
	HideKubeconfig *bool `json:"hideKubeconfig,omitempty"`
}
