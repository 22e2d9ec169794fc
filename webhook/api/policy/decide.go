package policy

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// answersItself reports whether the proxy itself would answer requests with this
// method, which it denies: PURGE asks a cache to drop an object, TRACE asks for the
// request. It recognises both in upper and lower case.
func answersItself(method string) bool {
	return strings.EqualFold(method, "PURGE") || strings.EqualFold(method, http.MethodTrace)
}

// Decide returns the proxy's decision about a request: method, and host and port
// as written in the request. It is pure and therefore sees less than the proxy:
// it does not resolve names, so that it can allow a name that the proxy denies
// because it resolves to a forbidden address, and it does not inspect tunnels.
func (l List) Decide(method, host string, port uint16) Decision {
	name, address := requestHost(host)
	forbidden := address.IsValid() && IsForbidden(netip.PrefixFrom(address, address.BitLen()))
	rule := l.broken(name, port)
	switch {
	case answersItself(method):
		return Decision{VerdictDenied, RuleProtocol}
	case forbidden && !address.IsUnspecified():
		return Decision{VerdictDenied, RuleForbiddenDestination}
	case slices.Contains(ForbiddenPorts(), port):
		return Decision{VerdictDenied, RuleForbiddenPort}
	case rule != "" && l.Mode != ModeReport:
		return Decision{VerdictDenied, rule}
	case forbidden: // The proxy first treats 0.0.0.0 as a name, so the list comes first.
		return Decision{VerdictDenied, RuleForbiddenDestination}
	case rule != "":
		return Decision{VerdictWouldDeny, rule}
	default:
		return Decision{VerdictAllowed, ""}
	}
}

// broken returns the rule of the list that a request breaks, or the empty rule.
func (l List) broken(name string, port uint16) Rule {
	switch {
	case !slices.Contains(l.Ports, port):
		return RulePort
	case l.Mode != ModeOpen && !l.covers(name):
		return RuleDomain
	default:
		return ""
	}
}

// covers reports whether the list covers a name. It never covers an empty name.
func (l List) covers(name string) bool {
	if name == "" {
		return false
	}
	return l.find(Domain{name, false}) || l.findParent(name)
}

// find reports whether the list, which is sorted by name, has an entry of the
// domain's name that covers the domain.
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

// requestHost parses a host as the proxy does: in lower case, without trailing
// dots, and as an address in any spelling of parseAddress. It returns a name or
// an address; both are empty for an empty host.
func requestHost(host string) (string, netip.Addr) {
	host = strings.TrimRight(strings.ToLower(host), ".")
	if address := parseAddress(host); address.IsValid() {
		return "", address
	}
	return host, netip.Addr{}
}
