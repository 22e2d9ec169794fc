package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/kubectl-egress/explain"
	"egress.scw/webhook/probe"
)

const dnsPort = 53

// outsideName is asked of DNS servers. The root has its records (RFC 8806), so that any
// server of the internet knows them.
const outsideName = "a.root-servers.net."

// ownResolver is the name, in attempts, of the DNS server in the pod's resolv.conf.
const ownResolver = "the pod's resolver"

// nameAttempts are the attempts to resolve names.
func nameAttempts(in Input) []probe.Attempt {
	attempts := []probe.Attempt{{Name: attemptClusterDNS, Kind: probe.Resolve, Host: apiServerName(in) + ".", Open: true}}
	if isCaptured(in) {
		attempts = append(attempts, probe.Attempt{Name: attemptCapturedName, Kind: probe.Resolve, Host: publicName(in), Open: true})
	}
	if closed := in.State.Settings.DNS.Closed; in.Tenant.Spec.HasClosedDNS() && closed != nil {
		address := netip.AddrPortFrom(closed.Address, dnsPort).String()
		attempts = append(attempts, probe.Attempt{Name: attemptPublicName + address, Kind: probe.Resolve, Address: address, Host: publicName(in)})
		if !in.Tenant.Spec.CapturesNames() { // a sidecar that captures answers for all names
			attempts = append(attempts, probe.Attempt{Name: attemptPublicName + ownResolver, Kind: probe.Resolve, Host: publicName(in)})
		}
	}
	if in.Tenant.Spec.IsProxied() {
		for _, address := range otherResolvers(in) {
			attempts = append(attempts, probe.Attempt{Name: attemptOutsideDNS + address.String(), Kind: probe.Resolve, Address: address.String(), Host: outsideName})
		}
	}
	return attempts
}

func apiServerName(in Input) string {
	return "kubernetes.default.svc." + in.State.Settings.Cluster.Domain
}

// publicName is a name that DNS servers of the internet know: that of the URL.
func publicName(in Input) string {
	if _, err := netip.ParseAddr(in.URL.Host); err == nil {
		return outsideName
	}
	return strings.TrimSuffix(in.URL.Host, ".") + "."
}

// isCaptured reports whether the pod connects to the URL's host by capture.
func isCaptured(in Input) bool { return explain.Captured(in.State, in.Namespace, in.URL.Host) }

// otherResolvers are the DNS servers that the pod must not reach: those outside of the
// cluster, and those of the cluster for a tenant with the closed DNS server.
func otherResolvers(in Input) []netip.AddrPort {
	servers := slices.Clone(in.Resolvers)
	dns := in.State.Settings.DNS
	if !in.Tenant.Spec.HasClosedDNS() {
		return servers
	}
	if dns.NodeLocal.IsValid() {
		servers = append(servers, netip.AddrPortFrom(dns.NodeLocal, dnsPort))
	}
	for i := range in.State.Services {
		service := &in.State.Services[i]
		address, err := netip.ParseAddr(service.Spec.ClusterIP)
		if err != nil || dns.Closed != nil && address == dns.Closed.Address || !servesDNS(service) {
			continue
		}
		for _, pods := range dns.Pods {
			if pods.Namespace == service.Namespace {
				servers = append(servers, netip.AddrPortFrom(address, dnsPort))
				break
			}
		}
	}
	return servers
}

func servesDNS(service *corev1.Service) bool {
	return slices.ContainsFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == dnsPort && p.Protocol == corev1.ProtocolUDP })
}

func (j *judge) unlessCaptured() string {
	switch {
	case !j.Tenant.Spec.CapturesNames():
		return "the tenant's pods capture no names (spec.sidecar.capture)"
	case !isCaptured(j.Input):
		return fmt.Sprintf("the sidecar does not capture %s: name a URL with the name of a public host with --url", j.URL.Host)
	}
	return ""
}

func (j *judge) captured() (message, remedy string) {
	const fix = "look at the log of the container " + names.SidecarName + " of a pod of the tenant"
	captured := netip.MustParsePrefix(names.CapturedRange)
	name := j.result(attemptCapturedName)
	for _, text := range name.Addresses {
		if address, err := netip.ParseAddr(text); err != nil || !captured.Contains(address) {
			return fmt.Sprintf("%s resolves to %s, which is no address of captured names (%s)", j.URL.Host, text, captured), fix
		}
	}
	if len(name.Addresses) == 0 {
		return strings.TrimSuffix(j.URL.Host+" does not resolve: "+name.Error, ": "), fix
	}
	result, verdict := j.result(attemptURLCaptured), explain.Allowed(j.Tenant, j.URL)
	switch {
	case result.Succeeded:
		return j.answerFault(result)
	case verdict.Passes():
		return fmt.Sprintf("%s got no answer by its name alone, without proxy variables: %s", j.URL.URL, result.Error), fix
	}
	return "", "" // the sidecar resets a connection that the proxy denies
}

func (j *judge) clusterDNS() (message, remedy string) {
	if result := j.result(attemptClusterDNS); !result.Succeeded || len(result.Addresses) == 0 {
		return strings.TrimSuffix(apiServerName(j.Input)+" does not resolve: "+result.Error, ": "),
			"correct the chart's values dns.pods (labels and ports of the DNS pods) and dns.nodeLocalAddress"
	}
	return "", ""
}

func (j *judge) unlessClosed() string {
	if !j.Tenant.Spec.HasClosedDNS() {
		return "the tenant's DNS is that of the cluster (spec.dns)"
	}
	return ""
}

func (j *judge) closedDNS() (message, remedy string) {
	var texts []string
	for _, result := range j.Report.Results {
		if server, ok := strings.CutPrefix(result.Name, attemptPublicName); ok && len(result.Addresses) > 0 {
			texts = append(texts, fmt.Sprintf("%s resolves to %s by %s", strings.TrimSuffix(publicName(j.Input), "."), result.Addresses[0], server))
		}
	}
	if len(texts) == 0 {
		return "", ""
	}
	return strings.Join(texts, "; "), "correct the chart's values dns.closed: its server must know names of the cluster alone"
}

func (j *judge) outsideDNS() (message, remedy string) {
	if open := j.open(attemptOutsideDNS); len(open) > 0 {
		return "answered: " + strings.Join(open, ", "), fixPolicy
	}
	return "", ""
}
