package settings

import "egress.scw/webhook/api/v1alpha1"

// Version and kind of the settings file. They are written like those of a
// Kubernetes object, but the API server does not know the kind.
const (
	APIVersion = "egress.scw/v1alpha1"
	Kind       = "WebhookSettings"
)

const kubeSystem = "kube-system"

// File is the settings file before its values are parsed. A field that is
// missing or null has the value of Default.
type File struct {
	// APIVersion is egress.scw/v1alpha1. Required.
	APIVersion string `json:"apiVersion"`
	// Kind is WebhookSettings. Required.
	Kind string `json:"kind"`

	// Proxy, Cluster and DNS have the names and types of the chart's values, so
	// that the path of an error is mostly the path of a value.

	// Proxy are the addresses of the proxy.
	Proxy FileProxy `json:"proxy"`
	// Cluster are the facts about the cluster that NO_PROXY depends on.
	Cluster FileCluster `json:"cluster"`
	// DNS is how pods reach the cluster's DNS.
	DNS FileDNS `json:"dns"`
	// Sidecar is the container of pods of tenants with spec.sidecar.
	Sidecar FileSidecar `json:"sidecar"`

	// ProtectedNamespaces are the namespaces that cannot belong to a tenant,
	// whatever their label is, because the cluster or the webhook depends on the
	// pods in them. Default: kube-system alone.
	ProtectedNamespaces []string `json:"protectedNamespaces"`

	// Namespaces are the rules for namespaces that get the tenant label.
	Namespaces FileNamespaces `json:"namespaces"`

	// Admission is the server of admission requests.
	Admission FileAdmission `json:"admission"`
	// Metrics is the server of /metrics.
	Metrics FileServer `json:"metrics"`
	// Probes is the server of /healthz and /readyz.
	Probes FileServer `json:"probes"`
	// LeaderElection decides which replica runs the controllers.
	LeaderElection FileLeaderElection `json:"leaderElection"`

	// MemoryLimit is the memory limit of the process, as a Kubernetes quantity
	// such as 256Mi, of at least 64Mi. The memory for large requests is a share of
	// it, and garbage is collected before it is reached. Empty, which is the
	// default, means that there is no limit: large requests have the memory that
	// they have with 256Mi.
	MemoryLimit string `json:"memoryLimit"`

	// LogLevel is the lowest level that is logged: debug, info or error.
	// Default: info.
	LogLevel string `json:"logLevel"`
}

// FileProxy is the field proxy of the settings file.
type FileProxy struct {
	// Addresses are the IP addresses of the proxy, at least one. The tenants'
	// Services lead to those that answer, and NetworkPolicies admit all of them.
	// Required.
	Addresses []string `json:"addresses"`
	// SpareAddress is the IP address of the machine that bootstrap makes while it replaces
	// the only one in addresses. NetworkPolicies admit it, too, and the tenants' Services
	// lead to the one of the two that began to answer last. Empty, which is the default, means
	// that there is none.
	SpareAddress string `json:"spareAddress"`
	// EgressAddresses are the source addresses of the tenants' requests.
	EgressAddresses FileEgressAddresses `json:"egressAddresses"`
	// VerifyPorts is whether the leader asks the proxies which tenant they serve on
	// each port, reports it in the tenants' condition ProxyReachable, and admits
	// pods to a port only after the proxies have answered that it is their
	// tenant's. false is for proxies that bootstrap does not configure. Default:
	// true.
	VerifyPorts bool `json:"verifyPorts"`
	// Identity is the way in which the proxy recognises tenants, as in egress.yaml:
	// Port, Offered (by the certificates of sidecars, and by ports), or Required (by
	// certificates alone). Default: Port.
	Identity string `json:"identity"`
	// Machines are the machines of the proxy that accept sidecars, at most 16. Without
	// any, pods of tenants with spec.sidecar are refused.
	Machines []FileMachine `json:"machines"`
}

// FileMachine is an item of the field proxy.machines of the settings file.
type FileMachine struct {
	// Address is the IP address of the machine, one of proxy.addresses. Required.
	Address string `json:"address"`
	// Certificate is the certificate of the machine in PEM, which the machine made
	// itself. While it gets another one, there are both, one behind the other.
	// Required.
	Certificate string `json:"certificate"`
}

// FileEgressAddresses is the field proxy.egressAddresses of the settings file.
type FileEgressAddresses struct {
	// Shared are the IP addresses of all tenants without an address of their
	// own.
	Shared []string `json:"shared"`
	// Dedicated are the IP addresses of tenants with egressIP Dedicated, by the
	// tenant's name: one for each machine of the proxy.
	Dedicated map[string][]string `json:"dedicated"`
	// Gateway are the IP addresses of the Public Gateway, by which tenants with
	// path Gateway leave.
	Gateway []string `json:"gateway"`
}

// FileCluster is the field cluster of the settings file.
type FileCluster struct {
	// Domain is the DNS domain of the cluster. Default: cluster.local.
	Domain string `json:"domain"`
	// CIDRs are the ranges of Services, pods and nodes, at most 64. Pods reach them
	// without the proxy.
	CIDRs []string `json:"cidrs"`
}

// FileDNS is the field dns of the settings file.
type FileDNS struct {
	// Pods are the cluster's DNS pods. Tenants' pods reach no other DNS server.
	// Default: the pods of kube-system with the label k8s-app: kube-dns.
	Pods []FileDNSPods `json:"pods"`
	// NodeLocalAddress is the IP address of the DNS cache on every node. Empty,
	// which is the default, means that there is no such cache.
	NodeLocalAddress string `json:"nodeLocalAddress"`
	// Closed is the DNS server of tenants with dns Closed. Without it, pods of these
	// tenants are refused.
	Closed *FileClosedDNS `json:"closed"`
}

// FileClosedDNS is the field dns.closed of the settings file.
type FileClosedDNS struct {
	// Address is the IP address of the Service of the DNS server, which serves port
	// 53. Required.
	Address string `json:"address"`
	// Pods are the pods of the DNS server. Required.
	Pods FileDNSPods `json:"pods"`
}

// FileSidecar is the field sidecar of the settings file.
type FileSidecar struct {
	// Image is the image of the container. Empty means that there is none: pods of
	// tenants with spec.sidecar are refused.
	Image string `json:"image"`
}

// FileDNSPods is an item of the field dns.pods of the settings file.
type FileDNSPods struct {
	// Namespace is the namespace of the pods. Required.
	Namespace string `json:"namespace"`
	// PodLabels are labels of the pods, at least one. Required.
	PodLabels map[string]string `json:"podLabels"`
	// Ports are the ports on which the pods listen, which may differ from those of
	// their Service. Default: 53.
	Ports []int32 `json:"ports"`
}

// FileNamespaces is the field namespaces of the settings file.
type FileNamespaces struct {
	// PodSecurity is the Pod Security Standard that a namespace gets with the tenant
	// label, unless it has the same or a stricter one: baseline, restricted, or off
	// for none. Default: baseline.
	PodSecurity string `json:"podSecurity"`
}

// FileAdmission is the field admission of the settings file.
type FileAdmission struct {
	// BindAddress is the address on which admission requests are served:
	// [HOST]:PORT, with an IP address as the host or none for all addresses.
	// Default: ":9443".
	BindAddress string `json:"bindAddress"`
	// CertDir is the folder of the serving certificate: tls.crt and tls.key.
	// The files are read again when they change. Default:
	// /etc/egress-webhook/tls.
	CertDir string `json:"certDir"`
}

// FileServer is the field metrics or probes of the settings file.
type FileServer struct {
	// BindAddress is the address to listen on, [HOST]:PORT. Empty means that
	// nothing is served. Default: ":8080" for metrics (/metrics), ":8081" for
	// probes (/healthz and /readyz).
	BindAddress string `json:"bindAddress"`
}

// FileLeaderElection is the field leaderElection of the settings file.
type FileLeaderElection struct {
	// Enabled is whether only one replica, the leader, runs the controllers. All
	// replicas serve admission requests. Default: true.
	Enabled bool `json:"enabled"`
	// Namespace is the namespace of the Lease. Empty, which is the default,
	// means the pod's own.
	Namespace string `json:"namespace"`
}

// Default returns a file in which every optional field has its default. It
// lacks the addresses of the proxy.
func Default() *File {
	file := defaults()
	file.APIVersion, file.Kind = APIVersion, Kind
	file.complete()
	return file
}

// defaults returns the defaults that the decoder replaces.
func defaults() *File {
	return &File{
		Proxy:          FileProxy{VerifyPorts: true, Identity: string(v1alpha1.IdentityPort)},
		Cluster:        FileCluster{Domain: "cluster.local"},
		Namespaces:     FileNamespaces{PodSecurity: "baseline"},
		Admission:      FileAdmission{BindAddress: ":9443", CertDir: "/etc/egress-webhook/tls"},
		Metrics:        FileServer{BindAddress: ":8080"},
		Probes:         FileServer{BindAddress: ":8081"},
		LeaderElection: FileLeaderElection{Enabled: true},
		LogLevel:       "info",
	}
}

// complete sets the defaults of lists and maps, which are missing if they are
// nil. They cannot be set before the file is decoded: the decoder adds to a map
// that exists.
func (f *File) complete() {
	if f.ProtectedNamespaces == nil {
		f.ProtectedNamespaces = []string{kubeSystem}
	}
	if f.DNS.Pods == nil {
		f.DNS.Pods = []FileDNSPods{{Namespace: kubeSystem, PodLabels: map[string]string{"k8s-app": "kube-dns"}}}
	}
	for i := range f.DNS.Pods {
		f.DNS.Pods[i].complete()
	}
	if f.DNS.Closed != nil {
		f.DNS.Closed.Pods.complete()
	}
}

func (p *FileDNSPods) complete() {
	if p.Ports == nil {
		p.Ports = []int32{53}
	}
}
