package squid

import (
	"strings"

	"egress.scw/webhook/api/policy"
)

// AuditRecord is a line of the audit log. Squid writes it when a request has
// been answered, or a tunnel has been closed. "-" stands for what did not come
// about. What clients control (Method, Host, SNI) is percent-encoded, and cut
// where it would be longer than any that is real.
type AuditRecord struct {
	// Time is when the line was written: UTC, RFC 3339 with milliseconds.
	Time string `json:"time"`
	// Tenant is the tenant's name; "-" for what Squid could not parse, and on
	// the manager's port.
	Tenant string `json:"tenant"`
	// Port is the port of the proxy that the request came in by: the tenant's.
	Port string `json:"port"`
	// Client is the address that asked: a node's, where pods are masqueraded.
	Client string `json:"client"`
	// Method is the method of HTTP: CONNECT for tunnels, and NONE for one that
	// Squid has looked into, has found no TLS in, and lets pass (mode Report).
	Method string `json:"method"`
	// Host is what the client asked for, a name or an address. The path is
	// not recorded: it is the tenant's business, and holds secrets.
	Host string `json:"host"`
	// HostPort is the port that the client asked for.
	HostPort string `json:"hostPort"`
	// Status is the status of the answer; 0 if there was none. By itself it
	// does not tell a denial from an origin's own 403: Verdict does.
	Status int `json:"status"`
	// Verdict is what the rules made of the request; "-" if Squid could not
	// parse it. It, and not the status, tells what was denied: a tunnel that was
	// ended has status 200, and one that worked may have 500.
	Verdict policy.Verdict `json:"verdict"`
	// Rule is what the verdict rests on; "-" if that is VerdictAllowed, or none.
	Rule policy.Rule `json:"rule"`
	// SNI is the name that TLS asked for inside a tunnel, where Squid looks at
	// it.
	SNI string `json:"sni"`
	// Result is how Squid dealt with the request, as in TCP_DENIED/HIER_NONE,
	// TCP_MISS/HIER_DIRECT or TCP_TUNNEL/HIER_DIRECT.
	Result string `json:"result"`
	// Error names the page of Squid's own that the client got, if any.
	Error string `json:"error"`
	// Server is the address that Squid connected to.
	Server string `json:"server"`
	// Egress is the address that Squid connected from.
	Egress string `json:"egress"`
	// BytesReceived counts what came from the client, headers included. Of a
	// tunnel that Squid looks into, that is what came after the CONNECT; or the
	// CONNECT alone, if the tunnel is denied or terminated.
	BytesReceived int64 `json:"bytesReceived"`
	// BytesSent counts what went to the client, headers included; of a tunnel
	// that Squid looks into, without the answer to the CONNECT, even if that is
	// a denial.
	BytesSent int64 `json:"bytesSent"`
	// DurationMillis is how long the request or tunnel took, in milliseconds; of
	// a tunnel with TLS that Squid looks into, from the first message in it.
	DurationMillis int64 `json:"durationMillis"`
}

// What clients control is bounded, in characters. Squid writes lines in a
// buffer of 8,192 bytes: it cuts what is longer, and with it the end of the JSON
// object and of the line. Of these it bounds the name in TLS by nothing, and the
// others by itself to what they are here: 32 characters of a method and 255 of a
// host, each of which may become three.
const (
	maxMethod = "96"
	maxHost   = "765"
)

// auditFormat is a line of the audit log in Squid's logformat.
func auditFormat() string {
	return "{" + strings.Join([]string{
		`"time":"%{%Y-%m-%dT%H:%M:%S}tg.%03tuZ"`,
		`"tenant":"%#note{tenant}"`,
		`"port":"%>lp"`,
		`"client":"%>a"`,
		`"method":"%#.` + maxMethod + `>rm"`,
		`"host":"%#.` + maxHost + `>rd"`,
		`"hostPort":"%#>rP"`,
		`"status":%>Hs`,
		`"verdict":"%note{verdict}"`,
		`"rule":"%note{rule}"`,
		`"sni":"%#.` + maxHost + `ssl::>sni"`,
		`"result":"%Ss/%Sh"`,
		`"error":"%#err_code"`,
		`"server":"%<a"`,
		`"egress":"%<la"`,
		`"bytesReceived":%>st`,
		`"bytesSent":%<st`,
		`"durationMillis":%tr`,
	}, ",") + "}"
}
