package controller

import (
	"fmt"
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// portUses are the users of each of the proxy's ports: tenants whose pods are
// admitted to it by their status, and NetworkPolicies that admit pods to it. Those
// that are not in the map have no user.
type portUses map[int32][]string

// usesOf collects the users of ports. A policy counts whatever tenant it belongs to:
// a namespace that names a deleted tenant keeps its policy.
func usesOf(tenants []v1alpha1.EgressTenant, policies []networkingv1.NetworkPolicy, proxies []netip.Addr) portUses {
	uses := portUses{}
	for i := range tenants {
		// Also if the spec has another port by now: a replica may not have seen
		// that yet.
		if port := tenants[i].Status.ProxyPort(); port != 0 {
			uses[port] = append(uses[port], "tenant "+tenants[i].Name)
		}
	}
	for i := range policies {
		for _, port := range portsOf(&policies[i], proxies) {
			uses[port] = append(uses[port], "namespace "+policies[i].Namespace)
		}
	}
	for port := range uses {
		slices.Sort(uses[port])
	}
	return uses
}

// portsOf returns the ports of the proxies that a NetworkPolicy admits pods to.
func portsOf(policy *networkingv1.NetworkPolicy, proxies []netip.Addr) []int32 {
	var ports []int32
	for _, rule := range policy.Spec.Egress {
		if !slices.ContainsFunc(rule.To, func(peer networkingv1.NetworkPolicyPeer) bool { return contains(peer.IPBlock, proxies) }) {
			continue
		}
		for _, port := range rule.Ports {
			if port.Port != nil && isTenantPort(port.Port.IntVal) {
				ports = append(ports, port.Port.IntVal)
			}
		}
	}
	return ports
}

// contains returns whether a block contains the address of a proxy. Exceptions from
// the block do not count.
func contains(block *networkingv1.IPBlock, proxies []netip.Addr) bool {
	if block == nil {
		return false
	}
	prefix, err := netip.ParsePrefix(block.CIDR)
	return err == nil && slices.ContainsFunc(proxies, prefix.Contains)
}

func isTenantPort(port int32) bool { return port >= names.TenantPortMin && port <= names.TenantPortMax }

// blockedBy describes the users that keep a port from passing to another tenant. It
// is empty if there are none.
func (u portUses) blockedBy(port int32) string {
	if len(u[port]) == 0 {
		return ""
	}
	return fmt.Sprintf("; pods are still admitted to it by %s", enumerate(u[port]))
}
