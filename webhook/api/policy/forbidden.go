package policy

import (
	"net/netip"
	"slices"
)

// forbiddenDestinations are parsed once: Decide compares every request by
// address with them.
var forbiddenDestinations = parsePrefixes(
	"0.0.0.0/8",      // this network; Linux takes 0.0.0.0 for itself
	"10.0.0.0/8",     // private
	"100.64.0.0/10",  // shared address space (carrier NAT), used inside clouds
	"127.0.0.0/8",    // loopback
	"169.254.0.0/16", // link-local, with the metadata services of clouds
	"172.16.0.0/12",  // private
	"192.0.0.0/24",   // protocol assignments
	"192.88.99.0/24", // relays from IPv6 (6to4)
	"192.168.0.0/16", // private
	"198.18.0.0/15",  // benchmarks of network devices
	"224.0.0.0/4",    // multicast
	"240.0.0.0/4",    // reserved, with the broadcast address
	"::/96",          // unspecified, loopback, and IPv4 in its oldest IPv6 form
	"64:ff9b::/96",   // IPv4 behind NAT64
	"64:ff9b:1::/48", // IPv4 behind a local NAT64
	"100::/64",       // discarded
	"2001::/23",      // protocol assignments, with IPv4 in Teredo
	"2002::/16",      // IPv4 in 6to4
	"fc00::/7",       // private
	"fe80::/10",      // link-local
	"fec0::/10",      // private, in its oldest form (site-local)
	"ff00::/8",       // multicast
)

func parsePrefixes(texts ...string) []netip.Prefix {
	result := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		result[i] = netip.MustParsePrefix(text)
	}
	return result
}

// ForbiddenDestinations returns the addresses that no tenant may reach through
// the proxy: all that are not on the public internet. They are the ranges of
// IANA's registries of special-purpose addresses (RFC 6890) that could lead to the
// proxy itself, its neighbours or its provider.
//
// Two ranges are missing on purpose: ::ffff:0:0/96, because Squid represents IPv4
// addresses in this form, so that it would forbid all of IPv4 (each range covers
// its mapped form anyway); and the ranges for documentation, which are not routed.
func ForbiddenDestinations() []netip.Prefix { return slices.Clone(forbiddenDestinations) }

// IsForbidden reports whether every address of a network is forbidden as a
// destination by one of the ranges.
func IsForbidden(network netip.Prefix) bool {
	for _, forbidden := range forbiddenDestinations {
		if forbidden.Bits() <= network.Bits() && forbidden.Contains(network.Addr()) {
			return true
		}
	}
	return false
}

// ForbiddenPorts returns the ports that no tenant may list or reach. Mail (25,
// 465, 587): one tenant's spam would ruin the reputation of the address that all
// tenants share, and Scaleway blocks these ports as well. DNS (53): only the proxy
// itself resolves names, which its firewall enforces.
func ForbiddenPorts() []uint16 { return []uint16{25, 53, 465, 587} }
