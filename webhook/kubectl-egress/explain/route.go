package explain

import (
	"fmt"
	"net/netip"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
)

// Way is how a request leaves a container.
type Way string

const (
	// WayProxy means that the client uses the proxy.
	WayProxy Way = "Proxy"
	// WayDirect means that the client connects to the host itself.
	WayDirect Way = "Direct"
	// WayCapture means that the client connects to the host itself, and the sidecar
	// takes the connection to the proxy.
	WayCapture Way = "Capture"
	// WayUnknown means that a variable decides whose value the manifest does not state.
	WayUnknown Way = "Unknown"
)

// Route is the way of one URL from a container.
type Route struct {
	Way Way `json:"way"`
	// Proxy is the URL of the proxy. It is that of the sidecar in a pod that has it.
	Proxy string `json:"proxy,omitempty"`
	// Verdict is that of the proxy. Only with WayProxy, if the proxy is the tenant's,
	// and with WayCapture.
	Verdict *Verdict `json:"verdict,omitempty"`
	// Open is whether the request gets to its destination, as far as that is known
	// without resolving names.
	Open    Openness `json:"open"`
	Message string   `json:"message"`
}

// Openness is whether a request gets to its destination.
type Openness string

// The values of Openness.
const (
	Open   Openness = "Open"
	Closed Openness = "Closed"
	// Depends means that the address behind the name decides.
	Depends Openness = "Depends"
)

// directRoute judges a direct connection by the NetworkPolicy.
func directRoute(why string, target Target, policy *networkingv1.NetworkPolicy) Route {
	route := Route{Way: WayDirect}
	address, err := netip.ParseAddr(target.Host)
	switch {
	case policy == nil:
		route.Open, route.Message = Open, why+", and no NetworkPolicy of the webhook holds"
	case err != nil && isLoopbackName(target.Host):
		route.Open, route.Message = Open, "the host is the pod itself"
	case err != nil:
		route.Open, route.Message = Depends, why+": the NetworkPolicy decides by the address that the name resolves to, of the pod behind it if it is a Service"
	case address.IsLoopback() || address.IsUnspecified():
		route.Open, route.Message = Open, "the host is the pod itself"
	default:
		route.Open, route.Message = admits(policy, address.Unmap(), target.Port)
		route.Message = why + ": " + route.Message
	}
	return route
}

func isLoopbackName(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// admits reports whether a rule with a range of addresses admits the address. Rules
// that select pods may admit it too, if it is a pod's.
func admits(policy *networkingv1.NetworkPolicy, address netip.Addr, port uint16) (Openness, string) {
	pods := false
	for _, rule := range policy.Spec.Egress {
		if !admitsPort(rule.Ports, port) {
			continue
		}
		for _, peer := range rule.To {
			if peer.IPBlock == nil {
				pods = true
			} else if contains(peer.IPBlock, address) {
				return Open, "the NetworkPolicy admits " + describePeer(peer) + describePorts(rule.Ports)
			}
		}
	}
	if pods {
		return Depends, "the NetworkPolicy admits the address only if it is that of a pod, or of a Service with pods, that one of its rules selects"
	}
	return Closed, fmt.Sprintf("the NetworkPolicy admits nothing at %s", netip.AddrPortFrom(address, port))
}

func admitsPort(ports []networkingv1.NetworkPolicyPort, number uint16) bool {
	if len(ports) == 0 {
		return true
	}
	for _, port := range ports {
		if (port.Protocol == nil || *port.Protocol == "TCP") && (port.Port == nil || port.Port.IntValue() == int(number)) {
			return true
		}
	}
	return false
}

func contains(block *networkingv1.IPBlock, address netip.Addr) bool {
	prefix, err := netip.ParsePrefix(block.CIDR)
	if err != nil || !prefix.Contains(address) {
		return false
	}
	for _, text := range block.Except {
		if except, err := netip.ParsePrefix(text); err == nil && except.Contains(address) {
			return false
		}
	}
	return true
}
