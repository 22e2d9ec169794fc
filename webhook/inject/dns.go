package inject

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"egress.scw/webhook/api/v1alpha1"
)

const (
	dnsPort = 53
	// dnsPolicyNone is the policy of pods that list their DNS servers themselves.
	dnsPolicyNone = "None"
	optionDots    = "ndots"
	// clusterDots is the number of dots from which on Kubernetes lets pods try a name
	// before the names below their search path.
	clusterDots = 5
)

// dns is the configuration of the resolver in the pods of a namespace whose names the
// cluster's DNS does not resolve.
type dns struct {
	server   string
	searches []string
	// domain is the cluster's domain, if the sidecar captures names, and otherwise
	// empty.
	domain string
	// encoded is the dnsConfig of a pod without one of its own.
	encoded string
}

// newDNS returns nil for pods with the cluster's DNS.
func newDNS(cluster *Cluster, tenant *v1alpha1.EgressTenant, namespace string) *dns {
	domain := cluster.settings.Cluster.Domain
	d := &dns{searches: []string{namespace + ".svc." + domain, "svc." + domain, domain}}
	switch {
	case tenant.Spec.CapturesNames():
		d.server, d.domain = "127.0.0.1", domain
	case tenant.Spec.HasClosedDNS():
		d.server = cluster.settings.DNS.Closed.Address.String()
	default:
		return nil
	}
	d.encoded = encodeJSON(dnsConfig{
		Nameservers: []string{d.server}, Searches: d.searches, Options: []dnsOption{{Name: optionDots, Value: strconv.Itoa(clusterDots)}},
	})
	return d
}

// dns makes the server the pod's only one. The search path is that of the cluster,
// which pods without the server have too, and the pod's own.
func (p *patcher) dns(details *details) {
	wanted := p.injection.dns
	if wanted == nil {
		return
	}
	if details.dnsPolicy != dnsPolicyNone {
		p.add(quote(dnsPolicyNone), "/spec/dnsPolicy")
	}
	own := details.dns
	if own == nil {
		p.add(wanted.encoded, "/spec/dnsConfig")
		return
	}
	if servers := []string{wanted.server}; !slices.Equal(own.Nameservers, servers) {
		if len(own.Nameservers) > 0 {
			p.warn(fmt.Sprintf("spec.dnsConfig.nameservers is replaced by %s: the NetworkPolicy admits no other DNS server", wanted.server))
		}
		p.add(encodeJSON(servers), "/spec/dnsConfig/nameservers")
	}
	searches, dropped := wanted.search(own.Searches)
	if len(dropped) > 0 {
		p.warn("spec.dnsConfig.searches: the sidecar would send every name below domains outside of the cluster to the proxy, so they are left out: " + listSome(dropped, 5))
	}
	if !slices.Equal(own.Searches, searches) {
		p.add(encodeJSON(searches), "/spec/dnsConfig/searches")
	}
	p.options(own.Options)
}

// search returns the search path of a pod with a path of its own, and the domains of
// that which are left out. With capture these are all outside of the cluster: every
// name has an address there, so that the resolver would stop at the first of them.
func (d *dns) search(own []string) (all, dropped []string) {
	all = slices.Clone(d.searches)
	listed := make(map[string]bool, len(own)) // a pod may have more than the API server accepts
	for _, domain := range d.searches {
		listed[domain] = true
	}
	for _, domain := range own {
		name := strings.ToLower(strings.TrimSuffix(domain, "."))
		switch {
		case listed[domain]:
		case d.domain != "" && name != d.domain && !strings.HasSuffix(name, "."+d.domain):
			dropped = append(dropped, domain)
		default:
			all = append(all, domain)
			listed[domain] = true
		}
	}
	return all, dropped
}

// options returns the options of a pod with options of its own, and the position of
// the number of dots among the own ones, -1 if it is added. The pod's own number is
// kept, but with capture only if it is at least that of Kubernetes: a name of the
// cluster that is tried as it stands would be captured.
func (d *dns) options(own []dnsOption) (all []dnsOption, dots int) {
	wanted := dnsOption{Name: optionDots, Value: strconv.Itoa(clusterDots)}
	dots = len(own) - 1 // resolvers take the last of several
	for dots >= 0 && own[dots].Name != optionDots {
		dots--
	}
	all = slices.Clone(own)
	if dots < 0 {
		return append(all, wanted), dots
	}
	if number, err := strconv.Atoi(own[dots].Value); d.domain != "" && (err != nil || number < clusterDots) {
		all[dots] = wanted
	}
	return all, dots
}

func (p *patcher) options(own []dnsOption) {
	const at = "/spec/dnsConfig/options"
	all, dots := p.injection.dns.options(own)
	switch {
	case own == nil:
		p.add(encodeJSON(all), at)
	case dots < 0:
		p.add(encodeJSON(all[len(own)]), at+"/-")
	case all[dots] != own[dots]:
		p.warn(fmt.Sprintf("spec.dnsConfig.options: %s %q is raised to %d: with fewer dots, the sidecar would take names of the cluster for public ones", optionDots, own[dots].Value, clusterDots))
		p.add(quote(all[dots].Value), at, "/", itoa(dots), "/value")
	}
}
