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

// Domain is an entry of an allow list, in normal form: a name in lower case and
// punycode, without a dot at its end, which stands for itself alone, or with
// all names below it. The zero value is no domain.
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

// Covers says whether the domain covers all that another one does.
func (d Domain) Covers(other Domain) bool {
	if d.name == other.name {
		return d.below || !other.below
	}
	return d.below && strings.HasSuffix(other.name, "."+d.name)
}

// MaxDomainLength bounds an entry as it is written, in characters: the longest
// name, with a dot at each end.
const MaxDomainLength = dnsname.MaxLength + 2

// ParseDomain reads an entry of an allow list: "api.example.com", which covers
// nothing but itself, or ".example.com", which covers example.com and all names
// below it. The error says what is wrong with the text and what to write
// instead.
func ParseDomain(text string) (Domain, error) {
	switch {
	case text == "":
		return Domain{}, errors.New("is empty")
	case !utf8.ValidString(text):
		return Domain{}, errors.New("is no text: write names in UTF-8, or in punycode")
	case utf8.RuneCountInString(text) > MaxDomainLength:
		return Domain{}, fmt.Errorf("is longer than %d characters, which no domain name is", MaxDomainLength)
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return Domain{}, errors.New("contains white space or control characters: write one name an entry")
	case strings.Contains(text, "*"):
		return Domain{}, errors.New(`contains "*": write .example.com for example.com and all names below it`)
	case literal(strings.TrimSuffix(text, ".")).IsValid():
		return Domain{}, errors.New("is an IP address: an allow list holds names, because whoever has an address can change")
	case strings.ContainsAny(text, "/:"):
		return Domain{}, errors.New("is not a domain name: write it without scheme, port and path")
	}
	rest, below := strings.CutPrefix(text, ".")
	name, err := dnsname.Normalize(strings.TrimSuffix(rest, "."))
	if err != nil {
		return Domain{}, err
	}
	if suffix, icann := publicsuffix.PublicSuffix(name); below && icann && suffix == name {
		return Domain{}, fmt.Errorf("covers everybody's names: anyone can register one below .%s, so write those that are meant", name)
	}
	return Domain{name, below}, nil
}

// MergeDomains returns domains in the order of their names, each once, without
// those that others cover: Squid stops for good at a list that holds both a
// name and, with a leading dot, what covers it.
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

// coveredByOther asks for each parent of the domain rather than comparing with
// all others: lists are long.
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
