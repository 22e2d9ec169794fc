package scaleway

import (
	"net"
	"net/netip"

	"github.com/scaleway/scaleway-sdk-go/scw"
)

// prefix converts the SDK's form of a network, or of an address with the length
// of its network.
func prefix(n scw.IPNet) netip.Prefix {
	address, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return netip.Prefix{}
	}
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(address.Unmap(), bits)
}

func ipNet(p netip.Prefix) scw.IPNet {
	return scw.IPNet{IPNet: net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
}

// size returns the size of a volume in the API's form.
func size(gigabytes int32) *scw.Size {
	return new(scw.Size(gigabytes) * scw.GB) //nolint:gosec // validated: not negative
}
