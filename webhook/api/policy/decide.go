package policy

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// methodPurge has a cache forget something. The proxy, which has none, reads it
// in capitals or not.
const methodPurge = "PURGE"

// Decide says what the proxy makes of a request of a tenant: its method, and
// host and port as they stand in the request. It is pure, so it resolves no
// name: one that leads to a forbidden address is denied by the proxy all the
// same. Nor does it look into tunnels.
func (l List) Decide(method, host string, port uint16) Decision {
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
	case rule != "" && l.Mode != ModeReport:
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
func (l List) broken(method, name string, port uint16) Rule {
	switch {
	case !slices.Contains(l.Ports, port), method == http.MethodConnect && port == PortHTTP:
		return RulePort
	case l.Mode != ModeOpen && !l.covers(name):
		return RuleDomain
	default:
		return ""
	}
}

// covers says whether the list covers a name; none if it is empty.
func (l List) covers(name string) bool {
	if name == "" {
		return false
	}
	return l.find(Domain{name, false}) || l.findParent(name)
}

// find says whether the list, which is sorted by name, has the domain, or the
// one of this name that covers more.
func (l List) find(domain Domain) bool {
	at, found := slices.BinarySearchFunc(l.Domains, domain.name, func(d Domain, name string) int { return cmp.Compare(d.name, name) })
	return found && l.Domains[at].Covers(domain)
}

func (l List) findParent(name string) bool {
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
