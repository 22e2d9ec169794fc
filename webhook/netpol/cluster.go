package netpol

import (
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Options are what a policy has to know about its surroundings, as text, the
// way the webhook's flags bring it. NewCluster gives them a meaning.
type Options struct {
	// ProxyAddresses are the proxy's IP addresses, at least one. Pods are given
	// the first, the policy admits them all.
	ProxyAddresses []string

	// DNSNamespace is the namespace of the cluster's DNS pods.
	DNSNamespace string

	// DNSPodLabels are the labels of the cluster's DNS pods, as in
	// "k8s-app=kube-dns".
	DNSPodLabels string

	// NodeLocalDNS is the address of the DNS cache on every node; empty when
	// there is none.
	NodeLocalDNS string
}

// Cluster is what a policy has to know about its surroundings. Valid ones come
// from NewCluster.
type Cluster struct {
	// ProxyAddresses are the proxy's addresses, distinct, in the order given.
	ProxyAddresses []netip.Addr
	// DNSNamespace is the namespace of the cluster's DNS pods.
	DNSNamespace string
	// DNSPodLabels, never empty, are the labels of the cluster's DNS pods.
	DNSPodLabels map[string]string
	// NodeLocalDNS is the address of the DNS cache on every node; the zero
	// value stands for none.
	NodeLocalDNS netip.Addr
}

// NewCluster reads the options. Its error names every option that is wrong.
func NewCluster(o Options) (Cluster, error) {
	var errs field.ErrorList
	proxies, proxyErrs := parseProxies(o.ProxyAddresses, field.NewPath("proxyAddresses"))
	errs = append(errs, proxyErrs...)

	for _, problem := range validation.IsDNS1123Label(o.DNSNamespace) {
		errs = append(errs, field.Invalid(field.NewPath("dnsNamespace"), o.DNSNamespace, problem))
	}
	podLabels, labelErrs := parseLabels(o.DNSPodLabels, field.NewPath("dnsPodLabels"))
	errs = append(errs, labelErrs...)

	var nodeLocal netip.Addr
	if o.NodeLocalDNS != "" {
		var err *field.Error
		// Link-local, as in the customary 169.254.20.10, is what it mostly is.
		nodeLocal, err = parseAddress(o.NodeLocalDNS, field.NewPath("nodeLocalDNS"), netip.Addr.IsLinkLocalUnicast)
		if err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return Cluster{}, errs.ToAggregate()
	}
	return Cluster{ProxyAddresses: proxies, DNSNamespace: o.DNSNamespace, DNSPodLabels: podLabels, NodeLocalDNS: nodeLocal}, nil
}

func parseProxies(texts []string, path *field.Path) ([]netip.Addr, field.ErrorList) {
	if len(texts) == 0 {
		return nil, field.ErrorList{field.Required(path, "give at least one IP address of the proxy, such as 172.16.28.8")}
	}
	var errs field.ErrorList
	proxies := make([]netip.Addr, 0, len(texts))
	for i, text := range texts {
		address, err := parseAddress(text, path.Index(i), nil)
		switch {
		case err != nil:
			errs = append(errs, err)
		case slices.Contains(proxies, address):
			errs = append(errs, field.Duplicate(path.Index(i), text))
		default:
			proxies = append(proxies, address)
		}
	}
	return proxies, errs
}

// parseAddress reads the address of one machine: a global unicast address, or
// one that also admits. An IPv4 address in IPv6 clothes loses them, because no
// enforcer of policies compares the two forms.
func parseAddress(text string, path *field.Path, also func(netip.Addr) bool) (netip.Addr, *field.Error) {
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" {
		return netip.Addr{}, field.Invalid(path, text, "must be an IP address, without port, prefix length and zone")
	}
	address = address.Unmap()
	if !address.IsGlobalUnicast() && (also == nil || !also(address)) {
		return netip.Addr{}, field.Invalid(path, text, "must be the address of one machine that pods reach: not loopback, multicast or the like")
	}
	return address, nil
}

func parseLabels(text string, path *field.Path) (map[string]string, field.ErrorList) {
	parsed, err := labels.ConvertSelectorToLabelsMap(text, field.WithPath(path))
	switch {
	case err != nil:
		return nil, field.ErrorList{field.Invalid(path, text, `must be labels as in "k8s-app=kube-dns,tier=dns": `+err.Error())}
	case len(parsed) == 0:
		return nil, field.ErrorList{field.Required(path, "without labels, every pod of the DNS namespace would be open on port 53")}
	}
	return parsed, nil
}
