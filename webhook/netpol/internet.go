package netpol

import (
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/settings"
)

// internetRule opens every port of the public internet, to tenants of path
// Gateway: all addresses of both families, without those that no tenant may reach
// through the proxy either (private, link-local with the metadata service,
// special), and without the cluster's own ranges and the proxy, which may be public.
func internetRule(s *settings.Settings) networkingv1.NetworkPolicyEgressRule {
	return networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{
		allExcept(netip.MustParsePrefix("0.0.0.0/0"), s), allExcept(netip.MustParsePrefix("::/0"), s),
	}}
}

func allExcept(all netip.Prefix, s *settings.Settings) networkingv1.NetworkPolicyPeer {
	closed := policy.ForbiddenDestinations()
	own := slices.Clone(s.Cluster.CIDRs)
	for _, address := range s.Proxy.WithSpare() {
		own = append(own, only(address))
	}
	for _, prefix := range own {
		if !slices.ContainsFunc(closed, func(outer netip.Prefix) bool {
			return outer.Bits() <= prefix.Bits() && outer.Contains(prefix.Addr())
		}) {
			closed = append(closed, prefix)
		}
	}
	block := &networkingv1.IPBlock{CIDR: all.String()}
	for _, prefix := range closed {
		if prefix.Addr().Is4() == all.Addr().Is4() {
			block.Except = append(block.Except, prefix.String())
		}
	}
	return networkingv1.NetworkPolicyPeer{IPBlock: block}
}
