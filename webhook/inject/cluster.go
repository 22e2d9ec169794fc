package inject

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/noproxy"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/settings"
)

// Cluster contains the values that all pods of a cluster have in common.
type Cluster struct {
	settings *settings.Settings
	version  string
	// head and tail are the NO_PROXY entries before and after those of the
	// namespace.
	head, tail []string
	// direct are the domains in head that are not in the cluster's domain.
	direct []string
}

// privateDomain is ICANN's domain for private use (2024-07-29), and the domain of
// Scaleway's private networks.
const privateDomain = "internal"

// NewCluster returns the Cluster of the settings. apiServer is the address or
// name of the API server for pods (KUBERNETES_SERVICE_HOST in every pod). version
// is the webhook's own version, for the status annotation of pods.
//
// The error reports that cluster.cidrs of the settings leave no room in NO_PROXY
// for the entries of a namespace.
func NewCluster(s *settings.Settings, apiServer noproxy.Entry, version string) (*Cluster, error) {
	head := noproxy.List{}
	// Programs dial their own listener by the address that they listen on, such as
	// 0.0.0.0:9090 (grpc-gateway does).
	head.Add("localhost", "127.0.0.1", "::1", "0.0.0.0", "::", apiServer.String())
	head.Add("kubernetes", "kubernetes.default", "kubernetes.default.svc")
	head.AddName("svc")
	head.AddName(s.Cluster.Domain)
	// Most clients compare "backend.orders.svc.cluster.local." with its final dot. An
	// entry with a final dot changes nothing for the others.
	head.Add("." + s.Cluster.Domain + ".")
	head.AddName(privateDomain)
	head.Add("." + privateDomain + ".")
	tail := noproxy.List{}
	for _, cidr := range s.Cluster.CIDRs {
		tail.AddEntry(noproxy.FromPrefix(cidr))
	}

	cluster := &Cluster{settings: s, version: version, head: head.Entries(), tail: tail.Entries(), direct: []string{privateDomain}}
	if apiServer.IsName() {
		cluster.direct = append(cluster.direct, apiServer.String())
	}
	longest := cluster.forNamespace(strings.Repeat("x", validation.DNS1123LabelMaxLength))
	if longest.Bytes() > noproxy.MaxBytes {
		return nil, field.Invalid(field.NewPath("cluster", "cidrs"), len(s.Cluster.CIDRs),
			fmt.Sprintf("NO_PROXY would have %d bytes, of at most %d: write fewer, larger ranges", longest.Bytes(), noproxy.MaxBytes))
	}
	return cluster, nil
}

// ProxyURL returns the value of HTTP_PROXY and HTTPS_PROXY for new pods of the tenant
// without the sidecar: the tenant's Service, or the proxy itself while there is no
// Service. The scheme is http for both, because clients connect to the proxy without
// TLS (and gRPC accepts no other scheme).
func (c *Cluster) ProxyURL(tenant *v1alpha1.EgressTenant) string {
	if address := tenant.ServiceAddress(); address != "" {
		return ServiceURL(address)
	}
	return c.DirectURL(tenant)
}

// ServiceURL returns the URL of the proxy at a tenant's Service.
func ServiceURL(address string) string {
	return "http://" + net.JoinHostPort(address, strconv.Itoa(names.ServicePort))
}

// DirectURL returns the URL of the proxy without the Service: the address of its first
// machine, and the port that identifies the tenant. Pods have it that were created
// before the tenant's Service.
func (c *Cluster) DirectURL(tenant *v1alpha1.EgressTenant) string {
	return "http://" + net.JoinHostPort(c.settings.Proxy.Addresses[0].String(), strconv.Itoa(int(tenant.Spec.ProxyPort())))
}

// PodProxyURL returns the value of HTTP_PROXY and HTTPS_PROXY for new pods of the tenant:
// the address of the sidecar in the pod, or ProxyURL.
func (c *Cluster) PodProxyURL(tenant *v1alpha1.EgressTenant) string {
	if tenant.Spec.HasSidecar() {
		return RelayURL()
	}
	return c.ProxyURL(tenant)
}

// NoProxy returns the NO_PROXY entries that all pods of the tenant get, in every
// namespace, separated by commas. The tenant must be valid.
func (c *Cluster) NoProxy(tenant *v1alpha1.EgressTenant) string {
	list := noproxy.NewList(len(c.head) + len(c.tail))
	list.Add(c.head...)
	list.Add(c.tail...)
	addAccess(&list, tenant)
	for _, text := range tenant.Spec.NoProxy {
		if entry, err := noproxy.Parse(text); err == nil {
			list.AddEntry(entry)
		}
	}
	return strings.Join(list.Entries(), ",")
}

// DirectNames returns the domains outside of the cluster's domain that the tenant's pods
// reach without the proxy, each with all names below it: those in NO_PROXY, once each,
// at most sidecar.MaxDirect. The tenant must be valid.
//
// Names of namespaces are left out: resolvers complete them by the search path.
func (c *Cluster) DirectNames(tenant *v1alpha1.EgressTenant) []string {
	domains := slices.Clone(c.direct)
	for _, text := range tenant.Spec.NoProxy {
		if entry, err := noproxy.Parse(text); err == nil && entry.IsName() && !slices.Contains(domains, entry.String()) {
			domains = append(domains, entry.String())
		}
	}
	return domains
}

// forNamespace returns the NO_PROXY entries that all pods of a namespace get,
// for any tenant.
func (c *Cluster) forNamespace(namespace string) noproxy.List {
	list := noproxy.NewList(len(c.head) + 1 + len(c.tail))
	list.Add(c.head...)
	if !noproxy.IsPublicSuffix(namespace) {
		list.AddBelow(namespace)
	}
	list.Add(c.tail...)
	return list
}
