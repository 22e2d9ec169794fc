package noproxy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"egress.scw/webhook/api/internal/dnsname"
)

// Entry is a destination that clients reach without the proxy, in normal form: an
// IP address, a CIDR without host bits, or a domain name in lower case and
// punycode, without dots at its ends, which covers itself and all names below it.
// The zero value is not an entry.
//
// Ports and asterisks are not supported, because half of the clients misread them:
// curl, wget, Python and .NET ignore ports, and only Java and undici support "*.x".
type Entry struct {
	text string
	kind kind
}

type kind uint8

const (
	kindName kind = iota + 1
	kindAddress
	kindPrefix
)

// String returns the entry in normal form, a domain name without a leading dot.
func (e Entry) String() string { return e.text }

// IsName reports whether the entry is a domain name rather than an address or a CIDR.
func (e Entry) IsName() bool { return e.kind == kindName }

// IsIPv6Range reports whether the entry is a range of IPv6 addresses. Clients that
// parse every entry as a URL fail on such an entry (Python's httpx does not start),
// while none needs it: hence it is left out of NO_PROXY.
func (e Entry) IsIPv6Range() bool {
	return e.kind == kindPrefix && strings.Contains(e.text, ":")
}

// FromPrefix returns the entry of a range: its address if it has only one.
func FromPrefix(prefix netip.Prefix) Entry {
	prefix = unmap(prefix).Masked()
	if prefix.IsSingleIP() {
		return Entry{prefix.Addr().Unmap().String(), kindAddress}
	}
	return Entry{prefix.String(), kindPrefix}
}

// Parse parses one entry of at most 253 characters: an IP address ("192.0.2.1",
// "::1", "[::1]"), a CIDR ("10.0.0.0/8"), or a domain name ("example.com", or
// ".example.com", which means the same). The error states the fault of the entry
// and the remedy; of the entry itself it repeats at most the wrong label.
func Parse(text string) (Entry, error) {
	if address, err := netip.ParseAddr(withoutBrackets(text)); err == nil {
		if address.Zone() != "" {
			return Entry{}, errors.New("has a zone, which means something else on every machine: write the address without it")
		}
		return Entry{address.Unmap().String(), kindAddress}, nil
	}
	if prefix, err := netip.ParsePrefix(text); err == nil {
		if prefix = unmap(prefix); prefix.Addr().Is6() {
			return FromPrefix(prefix), nil // no range of one address, which would be left out
		}
		return Entry{prefix.Masked().String(), kindPrefix}, nil
	}
	switch {
	case text == "":
		return Entry{}, errors.New("is empty")
	case !utf8.ValidString(text):
		return Entry{}, errors.New("is not a valid string: write names in UTF-8, or in punycode")
	case utf8.RuneCountInString(text) > MaxLength:
		return Entry{}, fmt.Errorf("is longer than a domain name can be: at most %d characters", MaxLength)
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return Entry{}, errors.New("contains white space or control characters: write one destination an entry")
	case strings.Contains(text, "*"):
		return Entry{}, errors.New(`contains "*", which most clients do not support: a domain name covers all names below it`)
	case strings.ContainsAny(text, "/:"):
		return Entry{}, errors.New("is not an IP address, CIDR or domain name: write it without scheme, port and path")
	}
	name, err := dnsname.Normalize(strings.TrimSuffix(strings.TrimPrefix(text, "."), "."))
	if err != nil {
		return Entry{}, err
	}
	return Entry{name, kindName}, nil
}

// MaxLength bounds an entry as written, in characters: the length of the longest
// domain name. The schema of EgressTenant has the same bound.
const MaxLength = dnsname.MaxLength

// withoutBrackets removes the brackets that URLs have around IPv6 addresses.
func withoutBrackets(text string) string {
	inner, opened := strings.CutPrefix(text, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if opened && closed && strings.Contains(inner, ":") {
		return inner
	}
	return text
}

// unmap converts a range of IPv4-mapped IPv6 addresses to IPv4, as clients that
// unmap addresses (Go's do) read it. Otherwise "::ffff:0:0/96" would not be
// recognised as all of IPv4.
func unmap(prefix netip.Prefix) netip.Prefix {
	const mapped = 128 - 32
	if prefix.Addr().Is4In6() && prefix.Bits() >= mapped {
		return netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-mapped)
	}
	return prefix
}
