package policy

// Verdict is the outcome of a request, in the audit log as in List.Decide.
type Verdict string

const (
	// VerdictAllowed means that the request passed.
	VerdictAllowed Verdict = "allowed"
	// VerdictDenied means that the request was refused.
	VerdictDenied Verdict = "denied"
	// VerdictWouldDeny means that the request passed only because the tenant's
	// mode is Report.
	VerdictWouldDeny Verdict = "would-deny"
	// VerdictTerminated means that an allowed tunnel was closed because of its
	// contents.
	VerdictTerminated Verdict = "terminated"
)

// Rule is the reason for a verdict other than VerdictAllowed.
type Rule string

const (
	// RuleForbiddenDestination means that the host is an address that is
	// forbidden to every tenant, or a name that resolves to one.
	RuleForbiddenDestination Rule = "forbidden-destination"
	// RuleForbiddenPort means that the port is forbidden to every tenant.
	RuleForbiddenPort Rule = "forbidden-port"
	// RulePort means that the tenant does not list the port.
	RulePort Rule = "port"
	// RuleDomain means that the tenant does not list the host. A request by IP
	// address is never listed.
	RuleDomain Rule = "domain"
	// RuleSNI means that the tunnel carries TLS for a host that the tenant does
	// not list or, to another port than that of plain HTTP, another protocol than
	// TLS. Only the proxy sees that, so List.Decide never returns this rule.
	RuleSNI Rule = "sni"
	// RuleClientHello means that the tunnel carries TLS whose first message the
	// proxy cannot read: it is in several records that arrive one by one, or is
	// not valid. List.Decide never returns this rule.
	RuleClientHello Rule = "client-hello"
	// RuleProtocol means that the request is neither a tunnel nor plain HTTP, or
	// is one that the proxy itself would answer (PURGE, TRACE).
	RuleProtocol Rule = "protocol"
	// RuleClient means that the client's address is not in the cluster.
	RuleClient Rule = "client"
	// RuleManager means that the request is for the proxy's own pages.
	RuleManager Rule = "manager"
)

// Decision is a verdict and its reason.
type Decision struct {
	Verdict Verdict
	// Rule is empty with VerdictAllowed.
	Rule Rule
}
