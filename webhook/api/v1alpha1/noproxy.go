package v1alpha1

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
	"k8s.io/apimachinery/pkg/util/validation"
)

// NoProxyEntry is a destination that clients reach without the proxy, in
// normal form: an IP address, a CIDR without host bits, or a domain name in
// lower case and punycode, without dots at its ends, that covers itself and
// everything below. The zero value is no entry.
//
// There is no port and no asterisk: half of the clients misread them
// (curl, wget, Python and .NET ignore ports, only Java and undici know "*.x").
type NoProxyEntry struct {
	text string
	kind noProxyKind
}

type noProxyKind uint8

const (
	noProxyName noProxyKind = iota + 1
	noProxyAddress
	noProxyPrefix
)

// String returns the entry in normal form, a domain name without leading dot.
func (e NoProxyEntry) String() string { return e.text }

// IsName says whether the entry is a domain name rather than an address or a CIDR.
func (e NoProxyEntry) IsName() bool { return e.kind == noProxyName }

// ParseNoProxy reads one entry: an IP address ("192.0.2.1", "::1", "[::1]"), a
// CIDR ("10.0.0.0/8"), or a domain name ("example.com", or ".example.com",
// which means the same). The error says what is wrong with the text and what
// to write instead; it does not repeat the text.
func ParseNoProxy(text string) (NoProxyEntry, error) {
	if address, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")); err == nil {
		if address.Zone() != "" {
			return NoProxyEntry{}, errors.New("an address with a zone means something else on every machine: write it without")
		}
		return NoProxyEntry{address.Unmap().String(), noProxyAddress}, nil
	}
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return NoProxyEntry{prefix.Masked().String(), noProxyPrefix}, nil
	}
	switch {
	case text == "":
		return NoProxyEntry{}, errors.New("is empty")
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return NoProxyEntry{}, errors.New("contains white space or control characters: write one destination an entry")
	case strings.Contains(text, "*"):
		return NoProxyEntry{}, errors.New(`contains "*", which most clients do not understand: a domain name covers everything below it`)
	case strings.ContainsAny(text, "/:"):
		return NoProxyEntry{}, errors.New("is no IP address, CIDR or domain name: write it without scheme, port and path")
	}
	return parseNoProxyName(text)
}

func parseNoProxyName(text string) (NoProxyEntry, error) {
	name, err := idna.Lookup.ToASCII(strings.TrimSuffix(strings.TrimPrefix(text, "."), "."))
	if err != nil {
		return NoProxyEntry{}, fmt.Errorf("is no domain name: %w", err)
	}
	name = strings.ToLower(name)
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return NoProxyEntry{}, errors.New("is no domain name: " + strings.Join(problems, "; "))
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if strings.Trim(last, "0123456789") == "" {
		// inet_aton reads "10.1" and "0x7f.1" as addresses; no top-level
		// domain is numeric (RFC 3696, section 2).
		return NoProxyEntry{}, errors.New("ends in a number, but is no IP address in the usual form")
	}
	return NoProxyEntry{name, noProxyName}, nil
}
