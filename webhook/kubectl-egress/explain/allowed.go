package explain

import (
	"fmt"
	"net/netip"

	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// Verdict is the proxy's decision about a request of a tenant.
type Verdict struct {
	Tenant  string         `json:"tenant"`
	URL     string         `json:"url"`
	Method  string         `json:"method"`
	Host    string         `json:"host"`
	Port    uint16         `json:"port"`
	Verdict policy.Verdict `json:"verdict"`
	Rule    policy.Rule    `json:"rule,omitempty"`
	Message string         `json:"message"`
}

// Passes reports whether the request passes.
func (v Verdict) Passes() bool {
	return v.Verdict == policy.VerdictAllowed || v.Verdict == policy.VerdictWouldDeny
}

// Allowed returns the decision of the proxy about a request of the tenant, by the rules
// of its squid.conf. With path Gateway there is no proxy: then it is that of the
// NetworkPolicy.
func Allowed(tenant *v1alpha1.EgressTenant, target Target) Verdict {
	verdict := Verdict{Tenant: tenant.Name, URL: target.URL.String(), Method: target.Method, Host: target.Host, Port: target.Port}
	if !tenant.Spec.IsProxied() {
		verdict.Verdict, verdict.Message = policy.VerdictAllowed, "path Gateway has no allow list: the public internet is open, without the proxy"
		if address, err := netip.ParseAddr(target.Host); err == nil && policy.IsForbidden(netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen())) {
			verdict.Verdict, verdict.Rule, verdict.Message = policy.VerdictDenied, policy.RuleForbiddenDestination, meaning(policy.RuleForbiddenDestination, target)
		}
		return verdict
	}
	list := tenant.Spec.AllowList()
	decision := list.Decide(target.Method, target.Host, target.Port)
	verdict.Verdict, verdict.Rule = decision.Verdict, decision.Rule
	switch {
	case decision.Rule != "":
		verdict.Message = meaning(decision.Rule, target)
	case list.Mode == policy.ModeOpen:
		verdict.Message = "the tenant has no list of domains (mode Open): every public host is allowed on its ports"
	default:
		verdict.Message = fmt.Sprintf("spec.allow lists %s and port %d; the proxy also requires that the name resolves to a public address", target.Host, target.Port)
	}
	if decision.Verdict == policy.VerdictWouldDeny {
		verdict.Message += "; it passes because the mode is Report"
	}
	return verdict
}

// meaning explains a rule, and what to do.
func meaning(rule policy.Rule, target Target) string {
	switch rule {
	case policy.RuleForbiddenDestination:
		return fmt.Sprintf("%s is not a public address, which no tenant may reach through the proxy: open it with spec.clusterAccess", target.Host)
	case policy.RuleForbiddenPort:
		return fmt.Sprintf("port %d is one of mail or DNS, which are forbidden to every tenant", target.Port)
	case policy.RulePort:
		return fmt.Sprintf("spec.allow.ports does not list %d", target.Port)
	case policy.RuleDomain:
		if _, err := policy.ParseDomain(target.Host); err != nil {
			return fmt.Sprintf("spec.allow.domains cannot cover %s, which %s", target.Host, err)
		}
		return fmt.Sprintf("spec.allow.domains does not cover %s", target.Host)
	case policy.RuleSNI, policy.RuleClientHello, policy.RuleProtocol, policy.RuleClient, policy.RuleManager:
	}
	return "rule " + string(rule)
}
