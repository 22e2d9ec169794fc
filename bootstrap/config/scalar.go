package config

import (
	"errors"
	"net/netip"
)

// parseAddress reads an address. All addresses in egress.yaml are IPv4.
func parseAddress(text string) (netip.Addr, error) {
	address, err := netip.ParseAddr(text)
	if err != nil || !address.Is4() {
		return netip.Addr{}, errors.New("must be an IPv4 address such as 172.16.0.10")
	}
	return address, nil
}

// parseCIDR reads a range of addresses without host bits. Both address families
// are accepted, because the ranges of a cluster may be IPv6; fields that accept
// IPv4 only are validated.
func parseCIDR(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		return netip.Prefix{}, errors.New("must be a CIDR: for this one address write " + netip.PrefixFrom(address, address.BitLen()).String())
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return netip.Prefix{}, errors.New("must be a CIDR such as 192.0.2.0/24")
	case prefix.Addr().Is4In6():
		return netip.Prefix{}, errors.New("must be written as an IPv4 range, which it is")
	case prefix != prefix.Masked():
		return netip.Prefix{}, errors.New("must have no host bits: write " + prefix.Masked().String())
	}
	return prefix, nil
}
