// Package netpol says what the NetworkPolicy of a tenant's namespace is. It is
// pure: values in, a policy out.
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
)

const dnsPort = 53

// Build returns the NetworkPolicy of a namespace that belongs to a tenant. It
// closes every way out of the namespace's pods but three: the cluster's DNS,
// the proxy on the tenant's own port, and the pods of the same tenant.
//
// Equal arguments give equal policies; nothing in the result is shared with
// the arguments or with another result.
func Build(tenant *v1alpha1.EgressTenant, namespace string, cluster Cluster) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		TypeMeta: metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      names.PolicyName,
			Labels:    map[string]string{names.LabelTenant: tenant.Name},
		},
		Spec: networkingv1.NetworkPolicySpec{
			// The empty selector: all pods, those without injection too.
			PodSelector: metav1.LabelSelector{},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
			Egress: []networkingv1.NetworkPolicyEgressRule{
				dnsRule(cluster),
				proxyRule(cluster, tenant.Spec.Proxy.Port),
				sameTenantRule(tenant.Name),
			},
		},
	}
}

// dnsRule names the DNS pods, not the address of their Service: a policy is
// enforced after the Service's address has been translated.
func dnsRule(cluster Cluster) networkingv1.NetworkPolicyEgressRule {
	to := []networkingv1.NetworkPolicyPeer{{
		NamespaceSelector: selector(corev1.LabelMetadataName, cluster.DNSNamespace),
		PodSelector:       &metav1.LabelSelector{MatchLabels: maps.Clone(cluster.DNSPodLabels)},
	}}
	if cluster.NodeLocalDNS.IsValid() {
		to = append(to, peerOf(cluster.NodeLocalDNS))
	}
	return networkingv1.NetworkPolicyEgressRule{
		To:    to,
		Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolUDP, dnsPort), port(corev1.ProtocolTCP, dnsPort)},
	}
}

func proxyRule(cluster Cluster, tenantPort int32) networkingv1.NetworkPolicyEgressRule {
	to := make([]networkingv1.NetworkPolicyPeer, 0, len(cluster.ProxyAddresses))
	for _, address := range cluster.ProxyAddresses {
		to = append(to, peerOf(address))
	}
	return networkingv1.NetworkPolicyEgressRule{
		To:    to,
		Ports: []networkingv1.NetworkPolicyPort{port(corev1.ProtocolTCP, tenantPort)},
	}
}

// sameTenantRule opens all ports: what a tenant's pods say to each other stays
// inside the cluster, and is the tenant's own business.
func sameTenantRule(tenant string) networkingv1.NetworkPolicyEgressRule {
	return networkingv1.NetworkPolicyEgressRule{
		To: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: selector(names.LabelTenant, tenant)}},
	}
}

func selector(label, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{label: value}}
}

// peerOf is exactly one address: a /32, or a /128 for IPv6.
func peerOf(address netip.Addr) networkingv1.NetworkPolicyPeer {
	only := netip.PrefixFrom(address, address.BitLen())
	return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: only.String()}}
}

// port spells the protocol out: the API server would fill in TCP, and a policy
// that differs from what was built would look edited.
func port(protocol corev1.Protocol, number int32) networkingv1.NetworkPolicyPort {
	return networkingv1.NetworkPolicyPort{Protocol: new(protocol), Port: new(intstr.FromInt32(number))}
}
