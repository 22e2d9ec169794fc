package matrix

import (
	"net/netip"
	"testing"
)

func target(t *testing.T, name string) Target {
	t.Helper()
	for _, target := range Targets() {
		if target.Name == name {
			return target
		}
	}
	t.Fatalf("no target %s", name)
	return Target{}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	direct := func(address string) []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort(address)} }
	asked := func(method, target string) []ProxyRequest { return []ProxyRequest{{method, target}} }
	for name, test := range map[string]struct {
		target string
		seen   Observation
		want   Outcome
	}{
		"nothing seen":                {PublicHTTPS, Observation{}, Failed},
		"direct":                      {"svc", Observation{Direct: direct("10.32.4.20:80"), Answered: 1}, Direct},
		"0.0.0.0 at ::1":              {"any", Observation{Direct: direct("[::1]:80"), Answered: 1}, Direct},
		"0.0.0.0 by the host's name":  {"any", Observation{Direct: direct("100.64.3.9:80"), Answered: 1}, Direct},
		"the pod is not the Service":  {"svc", Observation{Direct: direct("100.64.3.9:80"), Answered: 1}, Failed},
		"direct without a request":    {"api-server", Observation{Direct: direct("10.32.0.1:443")}, Unanswered},
		"connection to another place": {"svc", Observation{Direct: direct("203.0.113.80:80"), Answered: 1}, Failed},
		"connection to another port":  {"api-server", Observation{Direct: direct("10.32.0.1:80"), Answered: 1}, Failed},
		"https by CONNECT": {PublicHTTPS, Observation{
			ProxyConnections: 1, ProxyRequests: asked("CONNECT", "www.example.test:443"), AnsweredByProxy: 1,
		}, Proxied},
		"https by CONNECT, broken off": {PublicHTTPS, Observation{
			ProxyConnections: 1, ProxyRequests: asked("CONNECT", "www.example.test:443"),
		}, Unanswered},
		"http by CONNECT": {PublicHTTP, Observation{
			ProxyConnections: 1, ProxyRequests: asked("CONNECT", "www.example.test:80"), AnsweredByProxy: 1,
		}, Tunnelled},
		"http by URL": {PublicHTTP, Observation{
			ProxyConnections: 1, ProxyRequests: asked("GET", "http://www.example.test/"), AnsweredByProxy: 1,
		}, Proxied},
		"https by URL": {PublicHTTPS, Observation{
			ProxyConnections: 1, ProxyRequests: asked("GET", "https://www.example.test/"),
		}, InTheClear},
		"final dot removed": {"fqdn-dot", Observation{
			ProxyConnections: 1, ProxyRequests: asked("GET", "http://backend.orders.svc.cluster.local/"), AnsweredByProxy: 1,
		}, Proxied},
		"TLS to the proxy":          {PublicHTTPS, Observation{ProxyConnections: 1}, Malformed},
		"CONNECT without a port":    {PublicHTTPS, Observation{ProxyConnections: 1, ProxyRequests: asked("CONNECT", "www.example.test")}, Malformed},
		"CONNECT to another host":   {PublicHTTPS, Observation{ProxyConnections: 1, ProxyRequests: asked("CONNECT", "a.test:443"), AnsweredByProxy: 1}, Malformed},
		"the proxy's own URL":       {PublicHTTP, Observation{ProxyConnections: 1, ProxyRequests: asked("GET", "/")}, Malformed},
		"proxied, and then direct":  {PublicHTTP, Observation{ProxyConnections: 1, Direct: direct("203.0.113.80:80"), Answered: 1}, Both},
		"elsewhere beside a direct": {"svc", Observation{Direct: append(direct("10.32.0.1:80"), direct("10.32.4.20:80")...), Answered: 2}, Direct},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Judge(target(t, test.target), test.seen); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}
