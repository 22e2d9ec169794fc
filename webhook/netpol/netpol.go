// Package netpol builds the NetworkPolicy of a tenant's namespace. It is pure: a
// policy depends on the arguments alone.
package netpol

import (
	"maps"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/settings"
)

const dnsPort = 53

// Build returns the NetworkPolicy of a namespace that belongs to a tenant. It
// closes every egress path of the namespace's pods except three: the cluster's
// DNS, the proxy on the tenant's own port, and the pods of the same tenant. A
// tenant without spec.proxy has no path to the proxy.
//
// Equal arguments give equal policies. The result shares no memory with the
// arguments or with another result.
func Build(tenant *v1alpha1.EgressTenant, namespace string, s *settings.Settings) *networkingv1.NetworkPolicy {
	rules := []networkingv1.NetworkPolicyEgressRule{dnsRule(s.DNS)}
	if port := tenant.Spec.ProxyPort(); port != 0 {
		rules = append(rules, proxyRule(s.Proxy.Addresses, port))
	}
	return &networkingv1.NetworkPolicy{
		TypeMeta: metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      names.PolicyName,
			Labels:    map[string]string{names.LabelTenant: tenant.Name},
		},
		Spec: networkingv1.NetworkPolicySpec{
			// The empty selector selects all pods, including those without injection.
			PodSelector: metav1.LabelSelector{},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
			Egress:      append(rules, sameTenantRule(tenant.Name)),
		},
	}
}

// dnsRule selects the DNS pods, not the address of their Service: a policy is
// enforced after the Service's address has been translated.
func dnsRule(dns settings.DNS) networkingv1.NetworkPolicyEgressRule {
	to := []networkingv1.NetworkPolicyPeer{{
		NamespaceSelector: selector(corev1.LabelMetadataName, dns.Namespace),
		PodSelector:       &metav1.LabelSelector{MatchLabels: maps.Clone(dns.PodLabels)},
	}}
	if dns.NodeLocal.IsValid() {
		to = append(to, peerOf(dns.NodeLocal))
	}
	return networkingv1.NetworkPolicyEgressRule{
		To:    to,
		Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolUDP, dnsPort), port(corev1.ProtocolTCP, dnsPort)},
	}
}

func proxyRule(addresses []netip.Addr, tenantPort int32) networkingv1.NetworkPolicyEgressRule {
	to := make([]networkingv1.NetworkPolicyPeer, 0, len(addresses))
	for _, address := range addresses {
		to = append(to, peerOf(address))
	}
	return networkingv1.NetworkPolicyEgressRule{
		To:    to,
		Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolTCP, tenantPort)},
	}
}

// sameTenantRule opens all ports: traffic between pods of one tenant stays
// inside the cluster and is not restricted.
func sameTenantRule(tenant string) networkingv1.NetworkPolicyEgressRule {
	return networkingv1.NetworkPolicyEgressRule{
		To: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: selector(names.LabelTenant, tenant)}},
	}
}

func selector(label, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{label: value}}
}

// peerOf returns a peer that is exactly one address: a /32, or a /128 for IPv6.
func peerOf(address netip.Addr) networkingv1.NetworkPolicyPeer {
	only := netip.PrefixFrom(address, address.BitLen())
	return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: only.String()}}
}

// port always sets the protocol: the API server would set TCP by default, and
// the stored policy would then differ from the built one and look edited.
func port(protocol corev1.Protocol, number int32) networkingv1.NetworkPolicyPort {
	return networkingv1.NetworkPolicyPort{Protocol: new(protocol), Port: new(intstr.FromInt32(number))}
}
