package inject

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/noproxy"
	"egress.scw/webhook/api/v1alpha1"
)

// ClusterOptions are the facts about the cluster as an operator writes them.
type ClusterOptions struct {
	// ProxyAddress is the proxy's IP address, as pods are given it.
	ProxyAddress string
	// ClusterDomain is the DNS domain of the cluster's Services and pods.
	ClusterDomain string
	// ClusterCIDRs are the ranges of Services, pods and nodes.
	ClusterCIDRs []string
	// APIServerHost is the address or name by which pods reach the API server
	// (KUBERNETES_SERVICE_HOST in every pod).
	APIServerHost string
	// Version is the webhook's own version, for the pods' status annotation.
	Version string
}

// Cluster holds what is the same for all pods of a cluster.
type Cluster struct {
	proxy   netip.Addr
	version string
	// The NO_PROXY entries before and after those of the namespace.
	head, tail []string
}

// NewCluster reads the facts about the cluster. Its error names every option
// that is wrong.
func NewCluster(options ClusterOptions) (*Cluster, error) {
	var errs field.ErrorList
	proxy, err := netip.ParseAddr(options.ProxyAddress)
	if err != nil || proxy.Zone() != "" {
		errs = append(errs, field.Invalid(field.NewPath("proxyAddress"), options.ProxyAddress, "must be an IP address"))
	}
	domain, err := parseClusterDomain(options.ClusterDomain)
	if err != nil {
		errs = append(errs, field.Invalid(field.NewPath("clusterDomain"), options.ClusterDomain, err.Error()))
	}
	host, err := noproxy.Parse(options.APIServerHost)
	if err != nil {
		errs = append(errs, field.Invalid(field.NewPath("apiServerHost"), options.APIServerHost,
			"must be the address or name by which pods reach the API server (KUBERNETES_SERVICE_HOST): "+err.Error()))
	}
	var cidrs noproxy.List
	for i, text := range options.ClusterCIDRs {
		_, err := netip.ParsePrefix(text)
		entry, problem := noproxy.Parse(text) // writes mapped ranges as the IPv4 that clients read them as
		switch at := field.NewPath("clusterCIDRs").Index(i); {
		case err != nil || problem != nil:
			errs = append(errs, field.Invalid(at, text, "must be a CIDR, such as 10.32.0.0/20"))
		case entry.CoversPublicHosts():
			errs = append(errs, field.Invalid(at, text, "covers the whole internet: nothing would use the proxy"))
		default:
			cidrs.Add(entry.String())
		}
	}
	if len(errs) > 0 {
		return nil, errs.ToAggregate()
	}

	head := noproxy.List{}
	head.Add("localhost", "127.0.0.1", "::1", host.String())
	head.Add("kubernetes", "kubernetes.default", "kubernetes.default.svc")
	head.AddName("svc")
	head.AddName(domain)
	// .internal is the private-use domain of ICANN (2024-07-29), and that of Scaleway's
	// private networks.
	head.AddName("internal")

	cluster := &Cluster{proxy: proxy.Unmap(), version: options.Version, head: head.Entries(), tail: cidrs.Entries()}
	longest := cluster.forNamespace(strings.Repeat("x", validation.DNS1123LabelMaxLength))
	if longest.Bytes() > noproxy.MaxBytes {
		return nil, field.ErrorList{field.TooLong(field.NewPath("clusterCIDRs"), "", noproxy.MaxBytes)}.ToAggregate()
	}
	return cluster, nil
}

func parseClusterDomain(text string) (string, error) {
	entry, err := noproxy.Parse(text)
	switch {
	case err != nil:
		return "", err
	case !entry.IsName():
		return "", fmt.Errorf("must be a domain name, such as cluster.local")
	case entry.CoversPublicHosts():
		return "", fmt.Errorf("is a public suffix: every host below it would be reached without the proxy")
	}
	return entry.String(), nil
}

// ProxyURL is what the tenant's pods find in HTTP_PROXY and HTTPS_PROXY: the
// proxy's address, and the port that identifies the tenant. The scheme is http
// for both, as the client speaks to the proxy in the clear (and gRPC knows no other).
func (c *Cluster) ProxyURL(tenant *v1alpha1.EgressTenant) string {
	return "http://" + net.JoinHostPort(c.proxy.String(), strconv.Itoa(int(tenant.Spec.Proxy.Port)))
}

// forNamespace returns the NO_PROXY entries that hold for all pods of a
// namespace, whatever its tenant.
func (c *Cluster) forNamespace(namespace string) noproxy.List {
	list := noproxy.NewList(len(c.head)+2+len(c.tail))
	list.Add(c.head...)
	if !noproxy.IsPublicSuffix(namespace) {
		list.AddName(namespace)
	}
	list.Add(c.tail...)
	return list
}
