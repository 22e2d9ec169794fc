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
// closes every egress path of the namespace's pods except: the cluster's DNS, or the
// closed one; the tenant's path, which is its own port of the proxy, the proxy's port
// for sidecars, or with path Gateway the public internet; the pods of the same tenant; and
// the tenant's clusterAccess.
// With ingress Tenant it also closes every source of connections except the pods
// of the same tenant and of ingressFrom.
//
// apiServer are the addresses and ports at which the API server listens, for
// tenants with clusterAccess to it: a policy is enforced after the address of its
// Service has been translated.
//
// Equal arguments give equal policies. The result shares no memory with the
// arguments or with another result.
func Build(tenant *v1alpha1.EgressTenant, namespace string, s *settings.Settings, apiServer ...netip.AddrPort) *networkingv1.NetworkPolicy {
	rules := append([]networkingv1.NetworkPolicyEgressRule{}, dnsRules(tenant, &s.DNS)...)
	rules = append(rules, pathRules(tenant, s)...)
	rules = append(rules, sameTenantRule(tenant.Name))
	for i := range tenant.Spec.ClusterAccess {
		rules = append(rules, accessRules(&tenant.Spec.ClusterAccess[i], s, apiServer)...)
	}
	policy := policyOf(tenant.Name, namespace, rules)
	if tenant.Spec.Ingress == v1alpha1.IngressTenant {
		policy.Spec.PolicyTypes = append(policy.Spec.PolicyTypes, networkingv1.PolicyTypeIngress)
		policy.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: ingressPeers(tenant)}}
	}
	return policy
}

// dnsRules returns the rules for the tenant's DNS servers. There are none for a tenant
// with dns Closed if there is no closed DNS server.
func dnsRules(tenant *v1alpha1.EgressTenant, dns *settings.DNS) []networkingv1.NetworkPolicyEgressRule {
	var rules []networkingv1.NetworkPolicyEgressRule
	if tenant.Spec.HasClosedDNS() {
		if dns.Closed != nil {
			rules = append(rules, dnsRule(dns.Closed.Pods))
		}
		return rules
	}
	for _, pods := range dns.Pods {
		rules = append(rules, dnsRule(pods))
	}
	if dns.NodeLocal.IsValid() {
		rules = append(rules, nodeLocalRule(dns.NodeLocal))
	}
	return rules
}

// pathRules returns the rule of the tenant's path. A tenant that is not valid may
// have none. If ports are verified, a tenant has none until the proxy serves it on
// its port. Sidecars need no such answer: their certificate identifies the tenant.
func pathRules(tenant *v1alpha1.EgressTenant, s *settings.Settings) []networkingv1.NetworkPolicyEgressRule {
	switch {
	case tenant.Spec.Path == v1alpha1.PathGateway:
		return []networkingv1.NetworkPolicyEgressRule{internetRule(s)}
	case tenant.Spec.IsProxied():
		var ports []int32
		if port := proxyPort(tenant, s.Proxy); port != 0 && s.Proxy.Identity != v1alpha1.IdentityRequired {
			ports = append(ports, port)
		}
		if tenant.Spec.HasSidecar() && s.Proxy.AcceptsSidecars() {
			ports = append(ports, names.SidecarPort)
		}
		if len(ports) > 0 {
			return []networkingv1.NetworkPolicyEgressRule{proxyRule(s.Proxy.WithSpare(), ports)}
		}
	}
	return nil
}

// BuildClosed returns the NetworkPolicy of a namespace whose label names no
// EgressTenant. It closes every egress path of the namespace's pods, DNS included.
// The name may be empty, as the value of a label may.
func BuildClosed(tenant, namespace string) *networkingv1.NetworkPolicy {
	return policyOf(tenant, namespace, nil)
}

func policyOf(tenant, namespace string, egress []networkingv1.NetworkPolicyEgressRule) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		TypeMeta: metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      names.PolicyName,
			Labels:    map[string]string{names.LabelTenant: tenant},
		},
		Spec: networkingv1.NetworkPolicySpec{
			// The empty selector selects all pods, including those without injection.
			PodSelector: metav1.LabelSelector{},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
			Egress:      egress,
		},
	}
}

func proxyPort(tenant *v1alpha1.EgressTenant, proxy settings.Proxy) int32 {
	if proxy.VerifyPorts {
		return tenant.AdmittedPort()
	}
	return tenant.Spec.ProxyPort()
}

// dnsRule selects the DNS pods, not the address of their Service: a policy is
// enforced after the Service's address has been translated.
func dnsRule(dns settings.DNSPods) networkingv1.NetworkPolicyEgressRule {
	return networkingv1.NetworkPolicyEgressRule{
		To: []networkingv1.NetworkPolicyPeer{{
			NamespaceSelector: selector(corev1.LabelMetadataName, dns.Namespace),
			PodSelector:       &metav1.LabelSelector{MatchLabels: maps.Clone(dns.PodLabels)},
		}},
		Ports: dnsPorts(dns.Ports...),
	}
}

func nodeLocalRule(address netip.Addr) networkingv1.NetworkPolicyEgressRule {
	return networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{peerOf(address)}, Ports: dnsPorts(dnsPort)}
}

func dnsPorts(numbers ...uint16) []networkingv1.NetworkPolicyPort {
	var ports []networkingv1.NetworkPolicyPort
	for _, number := range numbers {
		ports = append(ports, port(corev1.ProtocolUDP, int32(number)), port(corev1.ProtocolTCP, int32(number)))
	}
	return ports
}

func proxyRule(addresses []netip.Addr, numbers []int32) networkingv1.NetworkPolicyEgressRule {
	var ports []networkingv1.NetworkPolicyPort
	for _, number := range numbers {
		ports = append(ports, port(corev1.ProtocolTCP, number))
	}
	to := make([]networkingv1.NetworkPolicyPeer, 0, len(addresses))
	for _, address := range addresses {
		to = append(to, peerOf(address))
	}
	return networkingv1.NetworkPolicyEgressRule{To: to, Ports: ports}
}

// sameTenantRule opens all ports: traffic between pods of one tenant stays
// inside the cluster and is not restricted.
func sameTenantRule(tenant string) networkingv1.NetworkPolicyEgressRule {
	return networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{tenantPeer(tenant)}}
}

func tenantPeer(tenant string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{NamespaceSelector: selector(names.LabelTenant, tenant)}
}

func selector(label, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{label: value}}
}

// peerOf returns a peer that is exactly one address: a /32, or a /128 for IPv6.
func peerOf(address netip.Addr) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: only(address).String()}}
}

func only(address netip.Addr) netip.Prefix { return netip.PrefixFrom(address, address.BitLen()) }

// port always sets the protocol: the API server would set TCP by default, and
// the stored policy would then differ from the built one and look edited.
func port(protocol corev1.Protocol, number int32) networkingv1.NetworkPolicyPort {
	return networkingv1.NetworkPolicyPort{Protocol: new(protocol), Port: new(intstr.FromInt32(number))}
}
