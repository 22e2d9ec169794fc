package cloudinit

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// sharedRange (RFC 6598) is not reachable from a flexible IP, like the ranges of
// RFC 1918.
var sharedRange = netip.MustParsePrefix("100.64.0.0/10")

// ValidateNameServers returns everything that is wrong with the servers that
// Squid may query: each is the IPv4 address of one machine, neither loopback nor
// link-local, and not repeated. With SourceFlexibleIP it is public, because
// queries are sent from the flexible IP.
func ValidateNameServers(servers []netip.Addr, source SourceAddress, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[netip.Addr]bool{}
	for i, server := range servers {
		at := at.Index(i)
		switch {
		case !server.IsValid():
			errs = append(errs, field.Required(at, "an IPv4 address"))
		case !server.Is4():
			errs = append(errs, field.Invalid(at, server.String(), "must be an IPv4 address"))
		case !server.IsGlobalUnicast():
			errs = append(errs, field.Invalid(at, server.String(), "must be the address of one machine, neither loopback nor link-local"))
		case source == SourceFlexibleIP && (server.IsPrivate() || sharedRange.Contains(server)):
			errs = append(errs, field.Invalid(at, server.String(),
				"must be public with source address FlexibleIP: queries are sent from the flexible IP, which cannot reach private addresses"))
		case seen[server]: // A set of nftables must not repeat an element.
			errs = append(errs, field.Duplicate(at, server.String()))
		}
		seen[server] = true
	}
	return errs
}
