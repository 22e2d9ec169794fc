package capture

import (
	"net/netip"
	"slices"
	"strings"
)

// reverseAddress returns the address of a canonical reverse name, or the zero value for
// any other name.
func reverseAddress(name string) netip.Addr {
	if labels, found := strings.CutSuffix(name, ".in-addr.arpa"); found {
		numbers := strings.Split(labels, ".")
		slices.Reverse(numbers)
		if address, err := netip.ParseAddr(strings.Join(numbers, ".")); err == nil && address.Is4() {
			return address
		}
	}
	if labels, found := strings.CutSuffix(name, ".ip6.arpa"); found {
		return reverseIPv6(strings.Split(labels, "."))
	}
	return netip.Addr{}
}

// reverseIPv6 returns the address of 32 hexadecimal digits, the last one first.
func reverseIPv6(digits []string) netip.Addr {
	if len(digits) != 32 {
		return netip.Addr{}
	}
	slices.Reverse(digits)
	var text strings.Builder
	for i, digit := range digits {
		if len(digit) != 1 {
			return netip.Addr{}
		}
		if i > 0 && i%4 == 0 {
			text.WriteByte(':')
		}
		text.WriteString(digit)
	}
	address, err := netip.ParseAddr(text.String())
	if err != nil {
		return netip.Addr{}
	}
	return address.Unmap()
}
