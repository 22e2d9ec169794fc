package netpol

import (
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/settings"
)

// accessRules returns the rules of one entry of clusterAccess. There may be none:
// an entry that is not valid opens nothing, and a rule without destinations would
// open every destination.
func accessRules(access *v1alpha1.ClusterAccess, s *settings.Settings, apiServer []netip.AddrPort) []networkingv1.NetworkPolicyEgressRule {
	var to []networkingv1.NetworkPolicyPeer
	switch {
	case !access.IsValid():
		return nil
	case access.APIServer:
		return apiServerRules(apiServer)
	case access.Namespace != "":
		to = []networkingv1.NetworkPolicyPeer{namespacePeer(access.Namespace)}
		if len(access.PodLabels) > 0 {
			to[0].PodSelector = &metav1.LabelSelector{MatchLabels: maps.Clone(access.PodLabels)}
		}
	case access.Prefix().IsValid():
		to = withoutProxies(access.Prefix(), s.Proxy.WithSpare())
	}
	var ports []networkingv1.NetworkPolicyPort
	for _, number := range access.Ports {
		ports = append(ports, port(corev1.ProtocolTCP, number))
	}
	if len(to) == 0 || len(ports) == 0 {
		return nil
	}
	return []networkingv1.NetworkPolicyEgressRule{{To: to, Ports: ports}}
}

// withoutProxies returns a peer that is the range without the addresses of the
// proxy, on which every port but the tenant's is another tenant's. It returns none
// if the range is such an address.
func withoutProxies(prefix netip.Prefix, proxies []netip.Addr) []networkingv1.NetworkPolicyPeer {
	block := &networkingv1.IPBlock{CIDR: prefix.String()}
	for _, proxy := range proxies {
		switch {
		case !prefix.Contains(proxy):
		case prefix.IsSingleIP():
			return nil
		default:
			block.Except = append(block.Except, only(proxy).String())
		}
	}
	return []networkingv1.NetworkPolicyPeer{{IPBlock: block}}
}

// apiServerRules returns a rule for each port on which API servers listen, which
// mostly is one.
func apiServerRules(addresses []netip.AddrPort) []networkingv1.NetworkPolicyEgressRule {
	sorted := slices.SortedFunc(slices.Values(addresses), netip.AddrPort.Compare)
	byPort := map[uint16][]networkingv1.NetworkPolicyPeer{}
	var ports []uint16
	for _, address := range slices.Compact(sorted) {
		if !slices.Contains(ports, address.Port()) {
			ports = append(ports, address.Port())
		}
		byPort[address.Port()] = append(byPort[address.Port()], peerOf(address.Addr()))
	}
	slices.Sort(ports)
	var rules []networkingv1.NetworkPolicyEgressRule
	for _, number := range ports {
		rules = append(rules, networkingv1.NetworkPolicyEgressRule{
			To: byPort[number], Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolTCP, int32(number))},
		})
	}
	return rules
}

// ingressPeers are the pods that may connect to those of the tenant.
func ingressPeers(tenant *v1alpha1.EgressTenant) []networkingv1.NetworkPolicyPeer {
	peers := []networkingv1.NetworkPolicyPeer{tenantPeer(tenant.Name)}
	for _, namespace := range tenant.Spec.IngressFrom {
		peers = append(peers, namespacePeer(namespace))
	}
	return peers
}

func namespacePeer(name string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{NamespaceSelector: selector(corev1.LabelMetadataName, name)}
}
