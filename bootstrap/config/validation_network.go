package config

import (
	"fmt"
	"net/netip"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/cloudinit"
)

// The sizes of a network that bootstrap creates: 16 to 4096 addresses.
const (
	minNetworkBits = 20
	maxNetworkBits = 28
)

var (
	// privateRanges are those of RFC 1918.
	privateRanges = []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	}
	// sharedRange (RFC 6598) is used by Scaleway for itself, and by Kapsule for
	// pods.
	sharedRange = netip.MustParsePrefix("100.64.0.0/10")
	// benchmarkRange (RFC 2544) is used by Scaleway's Kubernetes for itself.
	benchmarkRange = netip.MustParsePrefix("198.18.0.0/15")
)

const mustBePrivate = "must be private: in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"

// isPrivate reports whether an IPv4 range is in one of RFC 1918.
func isPrivate(prefix netip.Prefix) bool {
	for _, private := range privateRanges {
		if covers(private, prefix) {
			return true
		}
	}
	return false
}

func covers(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// IsReserved reports whether Scaleway does not assign an address of a network to a
// machine: the first two and the last two addresses (documentation of IPAM).
func IsReserved(network netip.Prefix, address netip.Addr) bool {
	first := network.Masked().Addr()
	return address == first || address == first.Next() ||
		!network.Contains(address.Next()) || !network.Contains(address.Next().Next())
}

func (s *Spec) validateNetwork(at *field.Path) field.ErrorList {
	switch n := s.Network; {
	case n.ID == "" && !n.CIDR.IsValid():
		return field.ErrorList{field.Required(at, "id of a Private Network, or cidr of one to create")}
	case n.ID != "" && n.CIDR.IsValid():
		return field.ErrorList{field.Forbidden(at.Child("cidr"), "an existing network (spec.network.id) has its CIDR: remove one of the two")}
	case n.ID != "":
		return validateID(n.ID, at.Child("id"))
	default:
		if problem := s.networkProblem(); problem != "" {
			return field.ErrorList{field.Invalid(at.Child("cidr"), n.CIDR.String(), problem)}
		}
		return nil
	}
}

func (s *Spec) networkProblem() string {
	network := s.Network.CIDR
	switch {
	case !network.Addr().Is4():
		return "must be IPv4"
	case network.Overlaps(sharedRange):
		return "must not overlap with " + sharedRange.String() + ": Scaleway reserves it"
	case network.Overlaps(benchmarkRange):
		return "must not overlap with " + benchmarkRange.String() + ": Scaleway's Kubernetes reserves it"
	case !isPrivate(network):
		return mustBePrivate
	case network.Bits() < minNetworkBits || network.Bits() > maxNetworkBits:
		return fmt.Sprintf("must be between /%d and /%d", minNetworkBits, maxNetworkBits)
	}
	for _, taken := range s.Cluster.ranges() {
		if network.Overlaps(taken.prefix) {
			return fmt.Sprintf("must not overlap with %s, %s", taken.prefix, taken.path)
		}
	}
	return ""
}

func (s *Spec) validateGateway(at *field.Path) field.ErrorList {
	g := s.Gateway
	var errs field.ErrorList
	if g.Zone != s.Zone {
		errs = append(errs, s.validateZone(g.Zone, at.Child("zone"))...)
	}
	if !gatewayTypeForm.MatchString(g.Type) {
		errs = append(errs, field.Invalid(at.Child("type"), g.Type, "must be a type of Public Gateways, such as VPC-GW-S"))
	}
	off := g.off()
	switch c := s.Cluster; {
	case off == "":
	case s.Proxy.SourceAddress == cloudinit.SourceGateway:
		errs = append(errs, field.Invalid(at.Child(off), false, "must be true with spec.proxy.sourceAddress Gateway: requests leave by the gateway"))
	case s.Network.CIDR.IsValid() && c != nil && len(c.Pools) > 0:
		// An existing network may have a gateway that bootstrap does not manage.
		errs = append(errs, field.Invalid(at.Child(off), false,
			"must be true with pools in a new network: their nodes have no public addresses, and reach their control plane by the gateway"))
	}
	return errs
}

// off returns the first field that keeps traffic from leaving by the gateway.
func (g *Gateway) off() string {
	isOff := func(value *bool) bool { return value != nil && !*value }
	switch {
	case isOff(g.Enabled):
		return "enabled"
	case isOff(g.Masquerade):
		return "masquerade"
	case isOff(g.DefaultRoute):
		return "defaultRoute"
	}
	return ""
}
