// Package verify proves the guarantees of a tenant from inside a pod: it decides what a
// pod tries, and judges the outcome.
package verify

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/kubectl-egress/coverage"
	"egress.scw/webhook/kubectl-egress/explain"
	"egress.scw/webhook/kubectl-egress/state"
	"egress.scw/webhook/probe"
)

// Input is what was read about a tenant, and what its pod found.
type Input struct {
	State  *state.State
	Tenant *v1alpha1.EgressTenant
	// Namespace is that of the pod.
	Namespace inject.Namespace
	// Pods are those of all of the tenant's namespaces.
	Pods []coverage.Pod
	// URL reports the source address of its requests.
	URL explain.Target
	// Direct are public addresses that a pod must not reach without the proxy.
	Direct []netip.AddrPort
	// Resolvers are DNS servers outside of the cluster.
	Resolvers []netip.AddrPort

	// Report is what the pod printed, nil if it did not run. Then NotRun is the reason. With
	// a report, NotRun is the reason why the pod remains.
	Report *probe.Report
	NotRun string
}

// Bounds of the attempts. A SYN without an answer is repeated after 1 and 3 s.
const (
	repeat  = 20 * time.Second
	timeout = 4 * time.Second
)

// metadata are the addresses of Scaleway's metadata service. The first is that of other
// clouds too.
func metadata() []string { return []string{"169.254.169.254:80", "169.254.42.42:80"} }

// machinePorts are ports of a proxy machine that are not the tenants': SSH and metrics.
func machinePorts() []int {
	return []int{22, names.TenantMetricsPort, names.MachineMetricsPort, names.SquidMetricsPort}
}

// ownPorts are the addresses at which a new pod of the tenant must get the answer of its
// proxy: the tenant's port of each, or the sidecar, which is a proxy for the pod.
func ownPorts(in Input) []string {
	if in.Tenant.Spec.HasSidecar() {
		return []string{strings.TrimPrefix(inject.RelayURL(), "http://")}
	}
	var ports []string
	for _, address := range in.State.Settings.Proxy.Addresses {
		ports = append(ports, netip.AddrPortFrom(address, uint16(in.Tenant.Spec.ProxyPort())).String()) //nolint:gosec // the tenant is valid
	}
	return ports
}

// Names of attempts. That of an attempt for each address has the address behind it.
const (
	attemptOwnPort      = "own port "
	attemptURL          = "URL by the proxy"
	attemptURLDirect    = "URL directly"
	attemptURLCaptured  = "URL by capture"
	attemptDirect       = "directly "
	attemptOtherPort    = "port of the proxy "
	attemptMetadata     = "metadata service "
	attemptClusterDNS   = "DNS of the cluster"
	attemptCapturedName = "captured name"
	attemptOutsideDNS   = "DNS outside "
	attemptPublicName   = "public name by "
)

// Plan returns what the pod tries.
func Plan(in Input) probe.Plan {
	plan := probe.Plan{Repeat: repeat, Timeout: timeout}
	add := func(attempt probe.Attempt) { plan.Attempts = append(plan.Attempts, attempt) }
	plan.Attempts = append(plan.Attempts, nameAttempts(in)...)
	proxied := in.Tenant.Spec.IsProxied()
	if proxied {
		for _, own := range ownPorts(in) {
			add(probe.Attempt{Name: attemptOwnPort + own, Kind: probe.Get, URL: names.ProbeURL, Proxy: "http://" + own, Open: true})
		}
		add(probe.Attempt{Name: attemptURL, Kind: probe.Get, URL: in.URL.URL.String(), Proxy: in.State.Cluster.PodProxyURL(in.Tenant), Open: true})
		for _, address := range in.Direct {
			add(probe.Attempt{Name: attemptDirect + address.String(), Kind: probe.Dial, Address: address.String()})
		}
	}
	if isCaptured(in) {
		add(probe.Attempt{Name: attemptURLCaptured, Kind: probe.Get, URL: in.URL.URL.String(), Open: explain.Allowed(in.Tenant, in.URL).Passes()})
	} else {
		add(probe.Attempt{Name: attemptURLDirect, Kind: probe.Get, URL: in.URL.URL.String(), Open: !proxied})
	}
	for _, port := range otherPorts(in) {
		add(probe.Attempt{Name: attemptOtherPort + port.address, Kind: probe.Dial, Address: port.address})
	}
	for _, address := range metadata() {
		add(probe.Attempt{Name: attemptMetadata + address, Kind: probe.Dial, Address: address})
	}
	return plan
}

// otherPort is a port of a proxy that is not the tenant's, or the Service in front of it.
type otherPort struct{ address, owner string }

func otherPorts(in Input) []otherPort {
	var ports []otherPort
	for _, proxy := range in.State.Settings.Proxy.Addresses {
		add := func(port int, owner string) {
			ports = append(ports, otherPort{net.JoinHostPort(proxy.String(), strconv.Itoa(port)), owner})
		}
		for i := range in.State.Tenants {
			other := &in.State.Tenants[i]
			if port := other.Spec.ProxyPort(); other.Name != in.Tenant.Name && port != 0 && port != in.Tenant.Spec.ProxyPort() {
				add(int(port), "tenant "+other.Name)
			}
		}
		for _, port := range machinePorts() {
			add(port, fmt.Sprintf("the machine (%d)", port))
		}
		if !in.Tenant.Spec.HasSidecar() {
			add(names.SidecarPort, "sidecars")
		}
	}
	for i := range in.State.Tenants {
		other := &in.State.Tenants[i]
		if address := other.ServiceAddress(); other.Name != in.Tenant.Name && address != "" {
			ports = append(ports, otherPort{net.JoinHostPort(address, strconv.Itoa(names.ServicePort)), "tenant " + other.Name + ", by its Service"})
		}
	}
	return ports
}
