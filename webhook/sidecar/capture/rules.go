package capture

import (
	"net/netip"
	"slices"
	"strings"

	"egress.scw/webhook/api/policy"
)

// kind is how a name is answered.
type kind int

const (
	// unknown names do not exist (NXDOMAIN).
	unknown kind = iota
	// captured names have an address of captureRange.
	captured
	// direct names are asked of the cluster's DNS.
	direct
	// loopback names are those of the pod itself (localhost).
	loopback
	// reversed names are the reverse names of captured addresses.
	reversed
)

// rules decide how names are answered. They are immutable.
type rules struct {
	direct    []string // names that are direct with all names below them
	ranges    []netip.Prefix
	search    []string // search domains that are not direct
	resolvers []netip.AddrPort
}

func newRules(config Config) *rules {
	r := &rules{direct: append([]string{config.ClusterDomain}, config.Direct...), ranges: config.Ranges, resolvers: config.Resolvers}
	for _, domain := range config.Search {
		domain = canonical(domain)
		if domain != "" && !r.isDirect(domain) {
			r.search = append(r.search, domain)
		}
	}
	return r
}

// canonical returns a name in lower case without its trailing dot. Names of DNS
// messages have escape sequences for characters that are not printable.
func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// kindOf returns the kind of a canonical name.
func (r *rules) kindOf(name string) kind {
	switch {
	case r.isDirect(name):
		return direct
	case isBelow(name, "localhost"):
		return loopback
	case isBelow(name, "in-addr.arpa"), isBelow(name, "ip6.arpa"):
		return r.kindOfReverse(reverseAddress(name))
	case !strings.Contains(name, "."), isBelow(name, "svc"), r.isExpansion(name), !isHostName(name):
		// Names of one label and those below svc are names of the cluster without its
		// domain. The search path completes them.
		return unknown
	default:
		return captured
	}
}

func (r *rules) kindOfReverse(address netip.Addr) kind {
	switch {
	case captureRange.Contains(address):
		return reversed
	case slices.ContainsFunc(r.ranges, func(p netip.Prefix) bool { return p.Contains(address) }):
		return direct
	default:
		return unknown
	}
}

func (r *rules) isDirect(name string) bool {
	return slices.ContainsFunc(r.direct, func(domain string) bool { return isBelow(name, domain) })
}

// isExpansion reports whether a resolver has probably made a name of a name with several
// labels and a search domain, before it asks for the name alone. The cluster would
// answer that it does not exist. Of the names below a search domain, only hosts with one
// label can therefore be reached.
func (r *rules) isExpansion(name string) bool {
	return slices.ContainsFunc(r.search, func(domain string) bool {
		host, found := strings.CutSuffix(name, "."+domain)
		return found && strings.Contains(host, ".")
	})
}

// isBelow reports whether a name is a domain or below it.
func isBelow(name, domain string) bool {
	rest, found := strings.CutSuffix(name, domain)
	return found && (rest == "" || rest[len(rest)-1] == '.')
}

// isHostName reports whether a tenant's list could contain the name: in punycode, with
// the characters of host names, and not an address.
func isHostName(name string) bool {
	domain, err := policy.ParseDomain(name)
	return err == nil && domain.String() == name
}
