package policy

// Verdict is what became of a request, in the audit log as in Allowed.
type Verdict string

const (
	// VerdictAllowed let it pass.
	VerdictAllowed Verdict = "allowed"
	// VerdictDenied refused it.
	VerdictDenied Verdict = "denied"
	// VerdictWouldDeny let it pass because the tenant's mode is Report.
	VerdictWouldDeny Verdict = "would-deny"
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

// Decision is a verdict and, unless it is VerdictAllowed, what it rests on.
type Decision struct {
	Verdict Verdict
	Rule    Rule
}
