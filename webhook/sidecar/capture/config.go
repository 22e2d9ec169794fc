package capture

import "net/netip"

// Config is the part of the tenant's configuration that capture needs.
type Config struct {
	// Ports are the ports of the tenant, 1 to 16, distinct. Names can be reached on
	// these alone.
	Ports []uint16
	// OwnPorts are the ports on which the pod's own programs listen. They are left to
	// these programs, because a listener on all addresses and one on a captured
	// address exclude each other.
	OwnPorts []uint16
	// ClusterDomain is the domain of the cluster's Services and pods, in lower case
	// and without a trailing dot.
	ClusterDomain string
	// Direct are further names, in the same form, that are resolved by the cluster's
	// DNS and reached without the proxy, with all names below them.
	Direct []string
	// Ranges are the cluster's ranges of addresses. Reverse names of addresses in
	// them are asked of the cluster's DNS.
	Ranges []netip.Prefix
	// Search are the search domains of the pod's resolv.conf.
	Search []string
	// Resolvers are the cluster's DNS servers, at least one, in the order in which
	// they are asked.
	Resolvers []netip.AddrPort
}
