package config

import (
	"net/netip"

	"egress.scw/cloudinit"
	"egress.scw/webhook/api/v1alpha1"
)

// KindEgress is the kind of egress.yaml.
const KindEgress = "Egress"

// Egress is the content of egress.yaml: everything that bootstrap provisions at
// Scaleway for the tenants of one Private Network, and the tenants themselves.
// It is stored in Git, not in a cluster.
type Egress struct {
	// Load reports a missing apiVersion or kind together with the value to write.
	// The tags have omitempty, so that the decoder does not report it as well.

	// APIVersion is egress.scw/v1alpha1. Required.
	APIVersion string `json:"apiVersion,omitempty"`
	// Kind is Egress. Required.
	Kind string `json:"kind,omitempty"`

	// Metadata names the stack.
	Metadata Metadata `json:"metadata"`

	// Spec describes the stack.
	Spec Spec `json:"spec"`
}

// Metadata names the stack.
type Metadata struct {
	// Name distinguishes this stack from others in the project: all of its
	// resources are named after it and tagged with it. A DNS label of at most 32
	// characters. A changed name is another stack: all resources are recreated.
	Name string `json:"name"`

	// Labels have no meaning. They are accepted because tools such as kustomize
	// add them.
	Labels map[string]string `json:"labels,omitempty"`

	// Annotations have no meaning, like Labels.
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Spec describes a stack: the resources at Scaleway, and the tenants.
type Spec struct {
	// Project is the ID of the Scaleway project. Default: the project of the
	// credentials.
	Project string `json:"project,omitempty"`

	// Region is the region of the resources that span zones: network, cluster,
	// registry. Default: the region of zone.
	Region string `json:"region,omitempty"`

	// Zone is the zone of the machines: proxies, gateway and pools without a zone of
	// their own.
	Zone string `json:"zone"`

	// Network is the Private Network of the proxy and the nodes.
	Network Network `json:"network"`

	// Gateway is the Public Gateway of the network.
	Gateway Gateway `json:"gateway,omitzero"`

	// Proxy describes the machines that run Squid.
	Proxy ProxyMachine `json:"proxy,omitzero"`

	// Cluster is the Kubernetes cluster of the tenants. Nil: bootstrap does not
	// know of a cluster.
	Cluster *Cluster `json:"cluster,omitempty"`

	// Registry is a namespace of the container registry. Nil: bootstrap does not
	// create one.
	Registry *Registry `json:"registry,omitempty"`

	// Tenants are the tenants that the proxy serves.
	Tenants []v1alpha1.Tenant `json:"tenants,omitempty"`

	// Outputs are the files that bootstrap writes.
	Outputs Outputs `json:"outputs,omitzero"`
}

// Network names an existing Private Network or describes one to create. Exactly
// one of its fields is set.
type Network struct {
	// ID is the ID of an existing Private Network. Bootstrap uses it and never
	// changes or deletes it.
	ID string `json:"id,omitempty"`

	// CIDR is the range of a network to create, in a VPC of its own: private
	// IPv4 (RFC 1918), between /20 and /28.
	CIDR netip.Prefix `json:"cidr,omitzero"`
}

// Gateway describes the Public Gateway. Machines without a public address, such
// as nodes, leave by its address; with SourceAddress Gateway all requests of
// tenants do.
type Gateway struct {
	// Enabled is whether there is a gateway. Default: true.
	Enabled *bool `json:"enabled,omitempty"`

	// Zone is the zone of the gateway, in the region. Default: spec.zone. Not all
	// zones have gateways. A changed zone replaces the gateway, with its address.
	Zone string `json:"zone,omitempty"`

	// Type is the commercial type. Default: VPC-GW-S. It can be raised in place,
	// but not lowered.
	Type string `json:"type,omitempty"`

	// Masquerade is whether the gateway translates addresses. Without it, no
	// traffic leaves the network. Default: true.
	Masquerade *bool `json:"masquerade,omitempty"`

	// DefaultRoute is whether the gateway announces itself to the network as the
	// default route. Default: true.
	DefaultRoute *bool `json:"defaultRoute,omitempty"`
}

// ProxyMachine describes the machines that run Squid. They are alike, except for their
// zones and addresses.
type ProxyMachine struct {
	// Replicas is the number of machines, 1 to 4. Each has public addresses of its own,
	// so that a tenant's requests leave by as many addresses as there are machines.
	// Default: 1.
	Replicas int32 `json:"replicas,omitempty"`

	// Zones are the zones of the machines, in the region, at most replicas. The machines
	// take them in turn: with two zones, the third machine is in the first zone again. A
	// changed zone replaces a machine, with its public addresses. Default: spec.zone.
	Zones []string `json:"zones,omitempty"`

	// Type is the commercial type of the Instance. Default: PLAY2-NANO.
	Type string `json:"type,omitempty"`

	// Image is the label of an image of Scaleway's marketplace. The product is
	// tested with the packages of debian_trixie and debian_bookworm, and all kinds of
	// network that Debian's images have. Default: debian_trixie, because Squid 5.7 of
	// debian_bookworm gets security updates late.
	Image string `json:"image,omitempty"`

	// VolumeGB is the size of the boot volume in GB (10^9 bytes), 10 to 1000.
	// The volume also stores the audit log. Default: 20.
	VolumeGB int32 `json:"volumeGB,omitempty"`

	// PrivateIP is the address of the only machine in the Private Network. Private IPv4
	// (RFC 1918), in spec.network.cidr except for its first two and last two addresses,
	// which Scaleway reserves, and outside the ranges of the cluster. Required with one
	// machine, unless privateIPs is set.
	PrivateIP netip.Addr `json:"privateIP,omitzero"`

	// PrivateIPs are the addresses of the machines in the Private Network, one for each
	// machine, with the bounds of privateIP. Required with several machines.
	PrivateIPs []netip.Addr `json:"privateIPs,omitempty"`

	// SourceAddress selects the address that requests leave by. Default:
	// FlexibleIP.
	SourceAddress cloudinit.SourceAddress `json:"sourceAddress,omitempty"`

	// NameServers resolve the names that tenants request: IPv4, at most 3. With
	// sourceAddress FlexibleIP they are public, because queries are sent from the
	// flexible IP. Default: Scaleway's resolvers in the zone of each machine; required
	// in zones for which Scaleway documents none.
	NameServers []netip.Addr `json:"nameServers,omitempty"`

	// SSHSources are the networks that may reach the proxy by SSH, on its
	// flexible IP: IPv4 CIDRs except 0.0.0.0/0. Default: none; then no SSH server
	// runs. They must be empty with sourceAddress Gateway.
	SSHSources []netip.Prefix `json:"sshSources,omitempty"`

	// AuditLog selects further destinations of the audit log.
	AuditLog AuditLog `json:"auditLog,omitzero"`

	// Identity is the proof by which the proxy knows the tenant of a request. Port: the
	// tenant's port. Offered: also the certificate of a sidecar, on port 3443; then there
	// are at most 63 tenants. Required: only that; the tenants' ports are closed. A change
	// between Port and another value replaces the machine. Default: Port.
	Identity cloudinit.Identity `json:"identity,omitempty"`

	// Authority contains the certificates (PEM) of the authority that signs the sidecars'
	// certificates, at most 8192 bytes. They are public. Default: those in the ConfigMap
	// egress-sidecar-ca of the chart, which bootstrap reads with the kubeconfig that it
	// has written; required for a cluster that bootstrap does not know.
	Authority string `json:"authority,omitempty"`
}

// AuditLog selects destinations of the audit log besides the disk of the proxy.
type AuditLog struct {
	// Syslog is a server that every line is sent to. Nil: no server.
	Syslog *cloudinit.Syslog `json:"syslog,omitempty"`
}

// Cluster names an existing Kubernetes cluster (Kapsule) or describes one to
// create.
type Cluster struct {
	// ID is the ID of an existing cluster in the same Private Network. Bootstrap
	// uses it and never changes or deletes it, but adds pools to it. All fields
	// except pools must be unset.
	ID string `json:"id,omitempty"`

	// CIDRs are the ranges of pods and Services of a cluster that bootstrap does
	// not manage; bootstrap only writes them into the values of the chart. All
	// other fields must be unset.
	CIDRs []netip.Prefix `json:"cidrs,omitempty"`

	// Version is a Kubernetes version (X.Y.Z) that Scaleway offers for new clusters,
	// or a minor version (X.Y) for its newest patch. Default: the newest version at
	// the time of creation. Bootstrap does not upgrade clusters: an existing cluster
	// of another version is not a difference.
	Version string `json:"version,omitempty"`

	// CNI is cilium, cilium_native, calico or none. Default: cilium. It must
	// enforce NetworkPolicies. It cannot be changed after creation.
	CNI string `json:"cni,omitempty"`

	// PodCIDR is the range of the pods: IPv4, private (RFC 1918) or in
	// 100.64.0.0/10, without overlap with spec.network.cidr and serviceCIDR. It cannot
	// be changed after creation. Default: 100.64.0.0/15.
	PodCIDR netip.Prefix `json:"podCIDR,omitzero"`

	// ServiceCIDR is the range of the Services, with the same bounds. Default:
	// 10.32.0.0/20.
	ServiceCIDR netip.Prefix `json:"serviceCIDR,omitzero"`

	// ACL lists the CIDRs that may reach the control plane. Default: empty; then
	// Scaleway admits all addresses.
	ACL []netip.Prefix `json:"acl,omitempty"`

	// AutoUpgrade makes Scaleway install patches in a window of two hours. Nil:
	// no automatic upgrades.
	AutoUpgrade *AutoUpgrade `json:"autoUpgrade,omitempty"`

	// Autoscaler configures the cluster autoscaler. Default: Scaleway's settings.
	Autoscaler *Autoscaler `json:"autoscaler,omitempty"`

	// Pools are the node pools. Their nodes have no public addresses.
	Pools []Pool `json:"pools,omitempty"`
}

// AutoUpgrade is a maintenance window of two hours.
type AutoUpgrade struct {
	// Day is monday to sunday, or any.
	Day string `json:"day"`

	// StartHour is the hour in which the window begins, in UTC, 0 to 23.
	StartHour int32 `json:"startHour"`
}

// Autoscaler configures the cluster autoscaler. The defaults are Scaleway's.
type Autoscaler struct {
	// Expander selects the pool that grows: random, most_pods, least_waste,
	// priority or price. Default: random.
	Expander string `json:"expander,omitempty"`

	// ScaleDownDisabled keeps all nodes. Default: false.
	ScaleDownDisabled bool `json:"scaleDownDisabled,omitempty"`

	// ScaleDownDelayAfterAdd is how long all nodes are kept after one was added,
	// a duration such as 10m. Default: 10m.
	ScaleDownDelayAfterAdd string `json:"scaleDownDelayAfterAdd,omitempty"`

	// ScaleDownUnneededTime is how long a node must be unneeded before it is
	// removed, a duration. Default: 10m.
	ScaleDownUnneededTime string `json:"scaleDownUnneededTime,omitempty"`
}

// Pool describes a pool of nodes without public addresses.
type Pool struct {
	// Name is unique in the cluster: a DNS label.
	Name string `json:"name"`

	// Tenant reserves the pool for one tenant: its nodes get the label
	// egress.scw/tenant and a taint with the same key, both with the name of the
	// tenant, in addition to labels and taints.
	Tenant string `json:"tenant,omitempty"`

	// NodeType is the commercial type of the nodes (PRO2-XXS). It cannot be
	// changed after creation.
	NodeType string `json:"nodeType"`

	// Zone is the zone of the nodes. Default: spec.zone. It cannot be changed
	// after creation.
	Zone string `json:"zone,omitempty"`

	// Size is the number of nodes; with autoscaling, the initial number. Default:
	// 1, or autoscaling.min if that is larger.
	Size int32 `json:"size,omitempty"`

	// Autoscaling lets the number of nodes vary. Nil: it is always size.
	Autoscaling *Autoscaling `json:"autoscaling,omitempty"`

	// Autohealing is whether nodes that fail are replaced. Default: true.
	Autohealing *bool `json:"autohealing,omitempty"`

	// VolumeGB is the size of the boot volume of each node in GB (10^9 bytes), 20 to
	// 10000. Default: 20. It cannot be changed after creation.
	VolumeGB int32 `json:"volumeGB,omitempty"`

	// Labels are further labels of the nodes. Keys and values have the form of
	// Kubernetes labels.
	Labels map[string]string `json:"labels,omitempty"`

	// Taints are further taints of the nodes.
	Taints []Taint `json:"taints,omitempty"`
}

// Autoscaling bounds the number of nodes of a pool.
type Autoscaling struct {
	// Min is the smallest number of nodes, at least 0.
	Min int32 `json:"min"`

	// Max is the largest number of nodes, at least 1 and at least min.
	Max int32 `json:"max"`
}

// Taint is a taint of nodes.
type Taint struct {
	// Key has the form of a label key. It is not egress.scw/tenant, which
	// the field tenant of a pool sets.
	Key string `json:"key"`

	// Value has the form of a label value, at most 63 characters. Default: empty.
	Value string `json:"value,omitempty"`

	// Effect is NoSchedule, PreferNoSchedule or NoExecute.
	Effect string `json:"effect"`
}

// Registry describes a namespace of the container registry.
type Registry struct {
	// Name is unique in the region, across all customers of Scaleway.
	Name string `json:"name"`

	// Public is whether images can be pulled without credentials. Default: false.
	Public bool `json:"public,omitempty"`
}

// Outputs are the files that bootstrap writes. Relative paths start at the
// folder of egress.yaml.
type Outputs struct {
	// Kubeconfig is the kubeconfig of a cluster that bootstrap created or that
	// spec.cluster.id names. It is merged into an existing file. Default:
	// kubeconfig.yaml.
	Kubeconfig string `json:"kubeconfig,omitempty"`

	// Values are the values of the chart. Default: values.yaml.
	Values string `json:"values,omitempty"`

	// KnownHosts is the known_hosts file for SSH to the machines, with the keys that they
	// report. It is only written with proxy.sshSources. Default: known_hosts.
	KnownHosts string `json:"knownHosts,omitempty"`

	// HideKubeconfig keeps the credentials of the cluster out of printed output:
	// they are in the file only. Default: true.
	HideKubeconfig *bool `json:"hideKubeconfig,omitempty"`
}

// BootstrapManages reports whether bootstrap creates the cluster or adds pools
// to it. Otherwise only CIDRs is set.
func (c *Cluster) BootstrapManages() bool { return c != nil && len(c.CIDRs) == 0 }

// isCreated reports whether bootstrap creates the cluster.
func (c *Cluster) isCreated() bool { return c.ID == "" && len(c.CIDRs) == 0 }
