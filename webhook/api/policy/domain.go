package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/publicsuffix"

	"egress.scw/webhook/api/internal/dnsname"
)

// Domain is an entry of an allow list in normal form: a name in lower case and
// punycode, without a trailing dot, which covers either itself alone or itself
// and all names below it. The zero value is not a domain.
type Domain struct {
	name  string
	below bool
}

// String returns the domain in normal form, with a leading dot if it covers the
// names below it.
func (d Domain) String() string {
	if d.below {
		return "." + d.name
	}
	return d.name
}

// Covers reports whether the domain covers every name that other covers.
func (d Domain) Covers(other Domain) bool {
	if d.name == other.name {
		return d.below || !other.below
	}
	return d.below && strings.HasSuffix(other.name, "."+d.name)
}

// MaxDomainLength bounds an entry as written, in characters: the longest name
// with a dot at each end.
const MaxDomainLength = dnsname.MaxLength + 2

// ParseDomain parses an entry of an allow list: "api.example.com", which covers
// itself alone, or ".example.com", which covers example.com and all names below
// it. The error states the fault of the entry, and the remedy.
func ParseDomain(text string) (Domain, error) {
	switch {
	case text == "":
		return Domain{}, errors.New("is empty")
	case !utf8.ValidString(text):
		return Domain{}, errors.New("is not a valid string: write names in UTF-8, or in punycode")
	case utf8.RuneCountInString(text) > MaxDomainLength:
		return Domain{}, fmt.Errorf("is longer than a domain name can be: at most %d characters", MaxDomainLength)
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return Domain{}, errors.New("contains white space or control characters: write one name an entry")
	case strings.Contains(text, "*"):
		return Domain{}, errors.New(`contains "*": write .example.com for example.com and all names below it`)
	case parseAddress(strings.TrimSuffix(text, ".")).IsValid():
		return Domain{}, errors.New("is an IP address: an allow list contains names, because the owner of an address can change")
	case strings.ContainsAny(text, "/:"):
		return Domain{}, errors.New("is not a domain name: write it without scheme, port and path")
	}
	rest, below := strings.CutPrefix(text, ".")
	name, err := dnsname.Normalize(strings.TrimSuffix(rest, "."))
	if err != nil {
		return Domain{}, err
	}
	// The list contains "*.np" for a domain below which every name is a public suffix,
	// and has no rule for "np" itself, which covers even more.
	if below && (isPublicSuffix(name) || isPublicSuffix("x."+name)) {
		return Domain{}, fmt.Errorf("is a public suffix: anyone can register a name below .%s, so list the names that you mean", name)
	}
	return Domain{name, below}, nil
}

// isPublicSuffix reports whether a registry of top-level domains lets anyone register
// names directly below this name.
func isPublicSuffix(name string) bool {
	suffix, icann := publicsuffix.PublicSuffix(name)
	return icann && suffix == name
}

// MergeDomains returns the domains sorted by name, each once, without domains that
// another one covers: Squid does not start with a list that contains both a name
// and, with a leading dot, the entry that covers it.
func MergeDomains(domains []Domain) []Domain {
	all := make(map[Domain]bool, len(domains))
	for _, domain := range domains {
		all[domain] = true
	}
	merged := make([]Domain, 0, len(all))
	for domain := range all {
		if !coveredByOther(domain, all) {
			merged = append(merged, domain)
		}
	}
	slices.SortFunc(merged, func(a, b Domain) int { return cmp.Compare(a.name, b.name) })
	return merged
}

// coveredByOther reports whether another domain covers this one. It looks each
// parent up instead of comparing with all domains, because lists are long.
func coveredByOther(domain Domain, all map[Domain]bool) bool {
	if !domain.below && all[Domain{domain.name, true}] {
		return true
	}
	for _, parent, found := strings.Cut(domain.name, "."); found; _, parent, found = strings.Cut(parent, ".") {
		if all[Domain{parent, true}] {
			return true
		}
	}
	return false
}
