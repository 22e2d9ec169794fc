// Package settings reads the webhook's settings file: the facts about the
// cluster and the proxy, and how the webhook's process runs.
//
// The chart writes the file into a ConfigMap. It is parsed once, into types in
// which every value is valid. The package needs neither a Kubernetes client nor
// a command line, so that other programs can read the same file.
package settings

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/v1alpha1"
)

// Settings are the contents of a valid settings file. They are shared by all
// goroutines of a process and must not be changed.
type Settings struct {
	Proxy   Proxy
	Cluster Cluster
	DNS     DNS
	Sidecar Sidecar
	// ProtectedNamespaces cannot belong to a tenant, because the cluster or the
	// webhook depends on the pods in them.
	ProtectedNamespaces sets.Set[string]

	Namespaces Namespaces

	Admission Admission
	// Metrics and Probes are nil when they are not served.
	Metrics, Probes *BindAddress
	LeaderElection  LeaderElection
	// MemoryLimit is the memory limit of the process in bytes. 0 means that there
	// is none.
	MemoryLimit int64
	LogLevel    slog.Level
}

// Proxy are the addresses of the proxy.
type Proxy struct {
	// Addresses are the addresses at which pods reach the proxy: at least one,
	// distinct, in the order of the file. The tenants' Services lead to those that
	// answer, and NetworkPolicies admit all of them. Pods that are created before
	// their tenant's Service get the first.
	Addresses []netip.Addr
	// Spare is the address of the machine that stands in for the one in Addresses while
	// that is replaced: not one of Addresses, and of the first one's family. The zero value
	// means that there is none.
	Spare netip.Addr
	// Egress are the source addresses of the proxy's requests.
	Egress EgressAddresses
	// VerifyPorts is whether pods are admitted to a tenant's port only after the
	// proxy has answered that it serves the tenant there.
	VerifyPorts bool
	// Identity is the way in which the proxy recognises tenants.
	Identity v1alpha1.Identity
	// Machines are the machines of the proxy that accept sidecars: at most
	// sidecar.MaxMachines, distinct, in the order of the file. Each has one of Addresses.
	Machines []Machine
}

// Machine is a machine of the proxy, as sidecars know it.
type Machine struct {
	// Address is the address at which pods reach the machine, on names.SidecarPort.
	Address netip.Addr
	// Certificate is the machine's certificate in PEM: sidecars trust no other one.
	// While the machine gets another certificate, there are both.
	Certificate string
}

// WithSpare returns Addresses, with Spare behind them if there is one: the addresses that
// NetworkPolicies are about.
func (p *Proxy) WithSpare() []netip.Addr {
	if !p.Spare.IsValid() {
		return p.Addresses
	}
	return append(slices.Clone(p.Addresses), p.Spare)
}

// AcceptsSidecars reports whether the proxy recognises tenants by certificates.
func (p *Proxy) AcceptsSidecars() bool {
	return p.Identity == v1alpha1.IdentityOffered || p.Identity == v1alpha1.IdentityRequired
}

// Sidecar is the container that pods of tenants with spec.sidecar get.
type Sidecar struct {
	// Image is the image of the container. Empty means that there is none, and that
	// pods with the sidecar are refused.
	Image string
}

// Cluster are the facts that NO_PROXY depends on.
type Cluster struct {
	// Domain is the DNS domain of the cluster's Services and pods, in lower
	// case and without a trailing dot.
	Domain string
	// CIDRs are the ranges of Services, pods and nodes, without host bits. A
	// range of IPv4-mapped IPv6 addresses is written as a range of IPv4
	// addresses, which is how clients read it.
	CIDRs []netip.Prefix
}

// DNS is how pods reach the cluster's DNS.
type DNS struct {
	// Pods are the DNS pods: at least one entry.
	Pods []DNSPods
	// NodeLocal is the address of the DNS cache on every node, which listens on
	// port 53. The zero value means that there is no such cache.
	NodeLocal netip.Addr
	// Closed is the DNS server of tenants with dns Closed. It is nil if there is none,
	// and these tenants' pods are refused.
	Closed *ClosedDNS
}

// ClosedDNS is a DNS server that only knows names of the cluster.
type ClosedDNS struct {
	// Address is the address of its Service, which serves port 53.
	Address netip.Addr
	// Pods are its pods.
	Pods DNSPods
}

// DNSPods selects DNS pods of one namespace.
type DNSPods struct {
	// Namespace is the namespace of the DNS pods.
	Namespace string
	// PodLabels select the DNS pods. They are never empty: an empty selector
	// would select every pod of the namespace.
	PodLabels map[string]string
	// Ports are the ports on which the pods listen, which may differ from those of
	// their Service: at least one, distinct.
	Ports []uint16
}

// Namespaces are the rules for namespaces that get the tenant label.
type Namespaces struct {
	PodSecurity PodSecurity
}

// PodSecurity is a Pod Security Standard of Kubernetes.
type PodSecurity string

// The standards that namespaces of tenants can get.
const (
	PodSecurityBaseline   PodSecurity = "baseline"
	PodSecurityRestricted PodSecurity = "restricted"
	// PodSecurityOff leaves namespaces as they are.
	PodSecurityOff PodSecurity = "off"
)

// Admission is how the webhook serves admission requests.
type Admission struct {
	BindAddress BindAddress
	// CertDir is the folder of the serving certificate: tls.crt and tls.key.
	CertDir string
}

// LeaderElection decides which replica runs the controllers.
type LeaderElection struct {
	// Enabled is false when every process runs the controllers.
	Enabled bool
	// Namespace is the namespace of the Lease. Empty means the pod's own.
	Namespace string
}

// BindAddress is an address to listen on.
type BindAddress struct {
	// Host is an IP address of the machine. The zero value means all of them.
	Host netip.Addr
	// Port 0 lets the kernel choose a port.
	Port uint16
}

// String returns the address as net.Listen accepts it.
func (b BindAddress) String() string {
	return net.JoinHostPort(b.HostString(), strconv.Itoa(int(b.Port)))
}

// HostString returns the IP address to listen on. Empty means all addresses.
func (b BindAddress) HostString() string {
	if !b.Host.IsValid() {
		return ""
	}
	return b.Host.String()
}

// Load reads a settings file. The error names the file and lists every error
// in it on a line of its own, so that it can be read in the log of a pod.
func Load(name string) (*Settings, error) {
	data, err := os.ReadFile(name) //nolint:gosec // The operator names the file.
	if err != nil {
		return nil, fmt.Errorf("reading the settings: %w", err)
	}
	settings, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("wrong settings in %s:\n%w", name, err)
	}
	return settings, nil
}

// Parse reads the contents of a settings file: one YAML object of kind
// WebhookSettings. Unknown and duplicate fields are errors.
//
// The error is an Errors with the path of every wrong field. Only if the
// contents are not one YAML object, or have duplicate fields, does it name
// lines instead.
func Parse(data []byte) (*Settings, error) {
	file, errs, err := decode(data)
	if err != nil {
		return nil, err
	}
	settings, invalid := file.parse()
	for _, problem := range invalid {
		// A field of the wrong type was decoded as its default, which is not
		// what the file contains. Further errors about it would mislead.
		if !anyCovers(errs, problem.Field) {
			errs = append(errs, problem)
		}
	}
	if len(errs) > 0 {
		return nil, Errors(errs)
	}
	return settings, nil
}

// Errors are all errors of a settings file, in the order of its fields.
type Errors field.ErrorList

// Error returns a line for each error, indented by two spaces.
func (e Errors) Error() string {
	lines := make([]string, 0, len(e))
	for _, err := range e {
		lines = append(lines, "  "+err.Error())
	}
	return strings.Join(lines, "\n")
}
