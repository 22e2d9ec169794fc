package squid

import (
	"strings"

	"egress.scw/webhook/api/policy"
)

// AuditRecord is a line of the audit log. Squid writes it when a request has
// been answered or a tunnel has been closed. "-" marks a field without a value.
// The fields that clients control (Method, Host, SNI) are percent-encoded, and
// truncated beyond the length of any real value.
type AuditRecord struct {
	// Time is the time at which the line was written: UTC, RFC 3339 with
	// milliseconds.
	Time string `json:"time"`
	// Tenant is the tenant's name: that of the port. It is "-" on the manager's
	// port.
	Tenant string `json:"tenant"`
	// Port is the proxy port that received the request: the tenant's port.
	Port string `json:"port"`
	// Client is the source address of the request: a node's address, if pods are
	// masqueraded.
	Client string `json:"client"`
	// Method is the HTTP method: CONNECT for tunnels. Squid 5 writes NONE for a
	// tunnel that it has inspected and passed without reading TLS in it: plain HTTP
	// to port 80, and with mode Report every protocol. Squid 6 writes CONNECT.
	Method string `json:"method"`
	// Host is the requested host, a name or an address. Squid writes addresses in
	// their usual form, also if the client wrote hexadecimal or octal numbers. The
	// path is not recorded: it is private to the tenant, and may contain secrets.
	Host string `json:"host"`
	// HostPort is the requested port.
	HostPort string `json:"hostPort"`
	// Status is the status of the answer; 0 if there was no answer. The status
	// alone does not distinguish a denial from an origin's own 403; Verdict does.
	Status int `json:"status"`
	// Verdict is the decision of the rules on the request; "-" if Squid could not
	// parse it. Denials are identified by Verdict, not by the status: a terminated
	// tunnel has status 200, and with Squid 5 a successful one may have 500.
	Verdict policy.Verdict `json:"verdict"`
	// Rule is the rule that the verdict is based on. It is "-" for VerdictAllowed
	// and if there is no verdict.
	Rule policy.Rule `json:"rule"`
	// SNI is the server name in the TLS handshake of a tunnel, if Squid inspects
	// the tunnel.
	SNI string `json:"sni"`
	// Result is Squid's handling of the request, as in TCP_DENIED/HIER_NONE,
	// TCP_MISS/HIER_DIRECT or TCP_TUNNEL/HIER_DIRECT.
	Result string `json:"result"`
	// Error names the Squid error page sent to the client, if any.
	Error string `json:"error"`
	// Server is the address that Squid connected to.
	Server string `json:"server"`
	// Egress is the address that Squid connected from.
	Egress string `json:"egress"`
	// BytesReceived counts the bytes from the client, headers included. For an
	// inspected tunnel, it counts the bytes after the CONNECT. If that tunnel is
	// denied or terminated, it counts only the CONNECT.
	BytesReceived int64 `json:"bytesReceived"`
	// BytesSent counts the bytes to the client, headers included. For an inspected
	// tunnel, it excludes the answer to the CONNECT, even if that is a denial.
	BytesSent int64 `json:"bytesSent"`
	// DurationMillis is the duration of the request or tunnel, in milliseconds. For
	// an inspected tunnel with TLS, it starts at the first message in the tunnel.
	DurationMillis int64 `json:"durationMillis"`
	// Identity is the proof of the tenant: IdentityCertificate for requests of sidecars,
	// IdentityPort for others. It is "-" if Squid could not parse the request. This
	// field and those below exist on proxies that serve sidecars.
	Identity string `json:"identity,omitempty"`
	// ClaimedNamespace is the namespace of the pod, as its sidecar claims: the
	// certificate proves the tenant alone. Percent-encoded and truncated. "-" for
	// IdentityPort.
	ClaimedNamespace string `json:"claimedNamespace,omitempty"`
	// ClaimedPod is the name of the pod, as its sidecar claims.
	ClaimedPod string `json:"claimedPod,omitempty"`
}

// Values of Identity.
const (
	IdentityCertificate = "certificate"
	IdentityPort        = "port"
)

// maxMethod and maxHost bound the fields that clients control, in characters.
// Squid formats a line in a buffer of 8,192 bytes. It truncates a longer line,
// which removes the end of the JSON object and the newline. Squid does not bound
// the SNI. It bounds the method and the host itself, to the same lengths: 32
// characters of a method and 255 of a host, and percent-encoding may triple
// each.
const (
	maxMethod = "96"
	maxHost   = "765"
)

// maxClaim bounds the claims of sidecars: a name of Kubernetes has at most 253
// characters, not one of which is encoded.
const maxClaim = "253"

// auditFormat returns the format of an audit log line in Squid's logformat
// syntax. Squid has encoded the claims of sidecars when it noted them.
func auditFormat(sidecars bool) string {
	fields := []string{
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
	}
	if sidecars {
		fields = append(fields, `"identity":"%note{identity}"`,
			`"claimedNamespace":"%.`+maxClaim+`note{claimedNamespace}"`, `"claimedPod":"%.`+maxClaim+`note{claimedPod}"`)
	}
	return "{" + strings.Join(fields, ",") + "}"
}
