package policy

// Verdict is the outcome of a request, in the audit log as in List.Decide.
type Verdict string

const (
	// VerdictAllowed: the request passed.
	VerdictAllowed Verdict = "allowed"
	// VerdictDenied: the request was refused.
	VerdictDenied Verdict = "denied"
	// VerdictWouldDeny: the request passed only because the tenant's mode is
	// Report.
	VerdictWouldDeny Verdict = "would-deny"
	// VerdictTerminated: an allowed tunnel was closed because of its contents.
	VerdictTerminated Verdict = "terminated"
)

// Rule is the reason for a verdict other than VerdictAllowed.
type Rule string

const (
	// RuleForbiddenDestination: the host is an address that is forbidden to every
	// tenant, or a name that resolves to one.
	RuleForbiddenDestination Rule = "forbidden-destination"
	// RuleForbiddenPort: the port is forbidden to every tenant.
	RuleForbiddenPort Rule = "forbidden-port"
	// RulePort: the tenant does not list the port, or the request is a tunnel to
	// the port of plain HTTP.
	RulePort Rule = "port"
	// RuleDomain: the tenant does not list the host. A request by IP address is
	// never listed.
	RuleDomain Rule = "domain"
	// RuleSNI: the tunnel carries TLS for a host that the tenant does not list, or
	// another protocol than TLS. Only the proxy sees that, so List.Decide never
	// returns this rule.
	RuleSNI Rule = "sni"
	// RuleProtocol: the request is neither a tunnel nor plain HTTP, or is one that
	// only caches answer (PURGE).
	RuleProtocol Rule = "protocol"
	// RuleClient: the client's address is not in the cluster.
	RuleClient Rule = "client"
	// RuleManager: the request is for the proxy's own pages.
	RuleManager Rule = "manager"
)

// Decision is a verdict and its reason.
type Decision struct {
	Verdict Verdict
	// Rule is empty with VerdictAllowed.
	Rule Rule
}
