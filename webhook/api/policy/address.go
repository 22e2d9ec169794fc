package policy

import (
	"net/netip"
	"strconv"
	"strings"

	"egress.scw/webhook/api/internal/dnsname"
)

// parseAddress parses an address in any spelling that clients and the proxy
// accept: IPv4 in the forms of inet_aton, and IPv6 with or without brackets, its
// zone dropped. It returns the zero value for any other text.
func parseAddress(text string) netip.Addr {
	inner := text
	if rest, opened := strings.CutPrefix(text, "["); opened {
		closed := false
		if inner, closed = strings.CutSuffix(rest, "]"); !closed {
			return netip.Addr{}
		}
	}
	if address, err := netip.ParseAddr(inner); err == nil {
		return address.WithZone("").Unmap()
	}
	return shortIPv4(inner)
}

// shortIPv4 parses an address as inet_aton does: one to four numbers, decimal,
// octal or hexadecimal, of which the last fills the remaining bytes.
func shortIPv4(text string) netip.Addr {
	parts := strings.Split(strings.ToLower(text), ".")
	if len(parts) > net4 {
		return netip.Addr{}
	}
	var value uint64
	for i, part := range parts {
		// Base 0 parses the prefixes. It also accepts 0b, 0o and underscores, which
		// IsNumber refuses.
		if part == "" || !dnsname.IsNumber(part) {
			return netip.Addr{}
		}
		number, err := strconv.ParseUint(part, 0, 32)
		last := i == len(parts)-1
		limit := uint64(1) << 8
		if last {
			limit = uint64(1) << (8 * (net4 - i))
		}
		if err != nil || number >= limit {
			return netip.Addr{}
		}
		if last {
			value |= number
		} else {
			value |= number << (8 * (net4 - 1 - i))
		}
	}
	return netip.AddrFrom4([net4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)})
}

// net4 is the number of bytes of an IPv4 address.
const net4 = 4
