package v1alpha1

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Verdict is what became of a request, in the audit log as in Allowed.
type Verdict string

const (
	// VerdictAllowed let it pass.
	VerdictAllowed Verdict = "allowed"
	// VerdictDenied refused it.
	VerdictDenied Verdict = "denied"
	// VerdictWouldDeny let it pass because the tenant's mode is Report.
	VerdictWouldDeny Verdict = "wouldDeny"
	// VerdictTerminated ended a tunnel that had been allowed, because of what
	// was asked for inside it.
	VerdictTerminated Verdict = "terminated"
)

// Rule is what a verdict other than VerdictAllowed rests on.
type Rule string

const (
	// RuleForbiddenDestination is about addresses that nobody may reach, or
	// names that resolve to one.
	RuleForbiddenDestination Rule = "forbidden-destination"
	// RuleForbiddenPort is about ports that nobody may reach.
	RuleForbiddenPort Rule = "forbidden-port"
	// RulePort is about ports that the tenant does not list, and tunnels to the
	// port of plain HTTP.
	RulePort Rule = "port"
	// RuleDomain is about hosts that the tenant does not list; one that is
	// asked for by address is never listed.
	RuleDomain Rule = "domain"
	// RuleSNI is about what a tunnel carries: TLS for a host that the tenant
	// does not list, or something else than TLS. Only the proxy sees that.
	RuleSNI Rule = "sni"
	// RuleProtocol is about requests that are neither tunnels nor plain HTTP, and
	// those for a cache (PURGE).
	RuleProtocol Rule = "protocol"
	// RuleClient is about who asks: an address that is none of the cluster's.
	RuleClient Rule = "client"
	// RuleManager is about the proxy's own pages.
	RuleManager Rule = "manager"
)

// methodPurge has a cache forget something. The proxy, which has none, reads it
// in capitals or not.
const methodPurge = "PURGE"

// Decision is a verdict and, unless it is VerdictAllowed, what it rests on.
type Decision struct {
	Verdict Verdict
	Rule    Rule
}

// Allowed says what the proxy makes of a request of a tenant: its method, and
// host and port as they stand in the request. It is pure, so it resolves no
// name: one that leads to a forbidden address is denied by the proxy all the
// same. Nor does it look into tunnels.
func Allowed(spec EgressTenantSpec, method, host string, port uint16) Decision {
	return spec.AllowList().Decide(method, host, port)
}

// Decide is Allowed for a list in normal form.
func (l AllowList) Decide(method, host string, port uint16) Decision {
	name, address := requestHost(host)
	forbidden := address.IsValid() && IsForbidden(netip.PrefixFrom(address, address.BitLen()))
	rule := l.broken(method, name, port)
	switch {
	case strings.EqualFold(method, methodPurge):
		return Decision{VerdictDenied, RuleProtocol}
	case forbidden && !address.IsUnspecified():
		return Decision{VerdictDenied, RuleForbiddenDestination}
	case slices.Contains(ForbiddenPorts(), port):
		return Decision{VerdictDenied, RuleForbiddenPort}
	case rule != "" && l.Mode != AllowReport:
		return Decision{VerdictDenied, rule}
	case forbidden: // The proxy takes 0.0.0.0 for a name at first.
		return Decision{VerdictDenied, RuleForbiddenDestination}
	case rule != "":
		return Decision{VerdictWouldDeny, rule}
	default:
		return Decision{VerdictAllowed, ""}
	}
}

// broken returns the rule of the list that a request breaks, or none.
func (l AllowList) broken(method, name string, port uint16) Rule {
	switch {
	case !slices.Contains(l.Ports, port), method == http.MethodConnect && port == portHTTP:
		return RulePort
	case l.Mode != AllowOpen && !l.covers(name):
		return RuleDomain
	default:
		return ""
	}
}

// covers says whether the list covers a name; none if it is empty.
func (l AllowList) covers(name string) bool {
	if name == "" {
		return false
	}
	return l.find(Domain{name, false}) || l.findParent(name)
}

// find says whether the list, which is sorted by name, has the domain, or the
// one of this name that covers more.
func (l AllowList) find(domain Domain) bool {
	at, found := slices.BinarySearchFunc(l.Domains, domain.name, func(d Domain, name string) int { return cmp.Compare(d.name, name) })
	return found && l.Domains[at].Covers(domain)
}

func (l AllowList) findParent(name string) bool {
	for _, parent, found := strings.Cut(name, "."); found; _, parent, found = strings.Cut(parent, ".") {
		if l.find(Domain{parent, true}) {
			return true
		}
	}
	return false
}

// requestHost reads a host as the proxy does: in lower case, without dots at
// its end, and as an address in whatever spelling. One of both results is set,
// or none.
func requestHost(host string) (string, netip.Addr) {
	host = strings.TrimRight(strings.ToLower(host), ".")
	if address := literal(host); address.IsValid() {
		return "", address
	}
	return host, netip.Addr{}
}

// literal returns the address that a text is in one of the spellings that
// inet_aton takes, or of IPv6, with or without brackets; the zero value if it
// is none.
func literal(text string) netip.Addr {
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

// shortIPv4 reads one to four numbers, decimal, octal or hexadecimal, of which
// the last fills the bytes that are left.
func shortIPv4(text string) netip.Addr {
	parts := strings.Split(strings.ToLower(text), ".")
	if len(parts) > net4 {
		return netip.Addr{}
	}
	var value uint64
	for i, part := range parts {
		// Base 0 reads the prefixes; it would take 0b, 0o and underscores too.
		if part == "" || !isNumber(part) {
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
