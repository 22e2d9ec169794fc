package matrix

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Outcome is the way of one request of a client, as the recorder saw it. The
// client's own exit status does not count.
type Outcome string

const (
	// Direct is a request that reached its target without the proxy.
	Direct Outcome = "direct"
	// Proxied is a request that the proxy got in the usual form: CONNECT for TLS, the
	// complete URL for plain HTTP.
	Proxied Outcome = "proxied"
	// Tunnelled is a plain request by a CONNECT to port 80.
	Tunnelled Outcome = "tunnelled"
	// InTheClear is a request for an https URL that the proxy got without TLS.
	InTheClear Outcome = "in-the-clear"
	// Malformed is a connection to the proxy without a request for the target that a
	// proxy can parse.
	Malformed Outcome = "malformed"
	// Unanswered is a connection to the target or through the proxy that carried no
	// request: the client broke it off.
	Unanswered Outcome = "unanswered"
	// Failed is a client that connected to neither.
	Failed Outcome = "failed"
	// Both is a request that went to the proxy and to the target.
	Both Outcome = "both"
)

// Outcomes returns all outcomes with their signs in the documentation's table.
func Outcomes() map[Outcome]string {
	return map[Outcome]string{
		Direct: "D", Proxied: "P", Tunnelled: "T", InTheClear: "C", Malformed: "M", Unanswered: "U", Failed: "F", Both: "B",
	}
}

// reachesProxy reports whether the proxy can serve a public target that is
// requested in this way.
func (o Outcome) reachesProxy() bool { return o == Proxied || o == Tunnelled }

// Observation is everything that the recorder saw of one request.
type Observation struct {
	// ProxyConnections is the number of connections to the proxy.
	ProxyConnections int
	// ProxyRequests are the requests that the proxy could parse.
	ProxyRequests []ProxyRequest
	// Direct are the addresses to which clients connected without the proxy.
	Direct []netip.AddrPort
	// Answered and AnsweredByProxy are the numbers of requests that an origin
	// answered directly and through the proxy.
	Answered, AnsweredByProxy int
}

// ProxyRequest is the first line of a request to the proxy.
type ProxyRequest struct {
	Method string
	// Target is HOST:PORT of a CONNECT, or else the URL.
	Target string
}

// Judge returns the outcome of a request for the target.
func Judge(target Target, seen Observation) Outcome {
	direct := false
	for _, address := range seen.Direct {
		direct = direct || address.Port() == target.Port() && sameAddress(address.Addr(), target.Address)
	}
	switch {
	case direct && seen.ProxyConnections > 0:
		return Both
	case direct && seen.Answered > 0:
		return Direct
	case direct:
		return Unanswered
	case seen.ProxyConnections == 0:
		return Failed
	}
	for _, request := range seen.ProxyRequests {
		if outcome := judgeProxied(target, request); outcome != Malformed {
			if outcome != InTheClear && seen.AnsweredByProxy == 0 {
				return Unanswered
			}
			return outcome
		}
	}
	return Malformed
}

func judgeProxied(target Target, request ProxyRequest) Outcome {
	if request.Method == "CONNECT" {
		host, _, err := net.SplitHostPort(request.Target)
		switch {
		case err != nil || !sameHost(host, target.Host):
			return Malformed
		case target.TLS:
			return Proxied
		default:
			return Tunnelled
		}
	}
	address, err := url.Parse(request.Target)
	switch {
	case err != nil || !sameHost(address.Hostname(), target.Host):
		return Malformed
	case address.Scheme == "https":
		return InTheClear
	default:
		return Proxied
	}
}

// sameAddress compares the pod's own addresses as one: for 0.0.0.0, some clients
// connect to ::1, and Java to the address of the host's name.
func sameAddress(a, b netip.Addr) bool { return a == b || isOwn(a) && isOwn(b) }

func isOwn(address netip.Addr) bool {
	return address.IsLoopback() || address == netip.MustParseAddr(OwnIP)
}

// sameHost compares without a final dot, which some clients remove.
func sameHost(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}
