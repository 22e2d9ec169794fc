package noproxy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"egress.scw/webhook/api/internal/dnsname"
)

// Entry is a destination that clients reach without the proxy, in
// normal form: an IP address, a CIDR without host bits, or a domain name in
// lower case and punycode, without dots at its ends, that covers itself and
// everything below. The zero value is no entry.
//
// There is no port and no asterisk: half of the clients misread them
// (curl, wget, Python and .NET ignore ports, only Java and undici know "*.x").
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

// String returns the entry in normal form, a domain name without leading dot.
func (e Entry) String() string { return e.text }

// IsName says whether the entry is a domain name rather than an address or a CIDR.
func (e Entry) IsName() bool { return e.kind == kindName }

// Parse reads one entry: an IP address ("192.0.2.1", "::1", "[::1]"), a
// CIDR ("10.0.0.0/8"), or a domain name ("example.com", or ".example.com",
// which means the same), of at most 253 characters. The error says what is
// wrong with the text and what to write instead; of the text itself it repeats
// at most the label that is wrong.
func Parse(text string) (Entry, error) {
	if address, err := netip.ParseAddr(withoutBrackets(text)); err == nil {
		if address.Zone() != "" {
			return Entry{}, errors.New("an address with a zone means something else on every machine: write it without")
		}
		return Entry{address.Unmap().String(), kindAddress}, nil
	}
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return Entry{unmap(prefix).Masked().String(), kindPrefix}, nil
	}
	switch {
	case text == "":
		return Entry{}, errors.New("is empty")
	case !utf8.ValidString(text):
		return Entry{}, errors.New("is no text: write names in UTF-8, or in punycode")
	case utf8.RuneCountInString(text) > MaxLength:
		return Entry{}, fmt.Errorf("is longer than %d characters, which no domain name is", MaxLength)
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return Entry{}, errors.New("contains white space or control characters: write one destination an entry")
	case strings.Contains(text, "*"):
		return Entry{}, errors.New(`contains "*", which most clients do not understand: a domain name covers everything below it`)
	case strings.ContainsAny(text, "/:"):
		return Entry{}, errors.New("is no IP address, CIDR or domain name: write it without scheme, port and path")
	}
	name, err := dnsname.Normalize(strings.TrimSuffix(strings.TrimPrefix(text, "."), "."))
	if err != nil {
		return Entry{}, err
	}
	return Entry{name, kindName}, nil
}

// MaxLength bounds an entry as it is written, in characters, as the
// schema of EgressTenant does: the length of the longest domain name.
const MaxLength = dnsname.MaxLength

// withoutBrackets takes off the brackets that URLs put around IPv6 addresses.
func withoutBrackets(text string) string {
	inner, opened := strings.CutPrefix(text, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if opened && closed && strings.Contains(inner, ":") {
		return inner
	}
	return text
}

// unmap writes a range of IPv4 addresses as one when it is given as one of
// IPv6: clients that unmap addresses (Go's do) read it so. Of "::ffff:0:0/96"
// it would not show otherwise that it is all of IPv4.
func unmap(prefix netip.Prefix) netip.Prefix {
	const mapped = 128 - 32
	if prefix.Addr().Is4In6() && prefix.Bits() >= mapped {
		return netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-mapped)
	}
	return prefix
}
