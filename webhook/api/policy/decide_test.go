package policy_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	spec := func(allow *v1alpha1.AllowSpec) v1alpha1.EgressTenantSpec {
		return v1alpha1.EgressTenantSpec{Allow: allow}
	}
	domains := []string{"api.github.com", ".Example.com", "bücher.example"}
	enforced := spec(&v1alpha1.AllowSpec{Domains: domains, Ports: []int32{80, 443, 8443}})
	reported := spec(&v1alpha1.AllowSpec{Mode: policy.ModeReport, Domains: domains})
	open := spec(&v1alpha1.AllowSpec{Mode: policy.ModeOpen, Ports: []int32{443}})
	nothing := spec(nil)
	for _, test := range []struct {
		spec   v1alpha1.EgressTenantSpec
		method string
		host   string
		port   uint16
		want   policy.Decision
	}{
		{enforced, "GET", "api.github.com", 80, policy.Decision{policy.VerdictAllowed, ""}},
		{enforced, "CONNECT", "API.GitHub.com.", 443, policy.Decision{policy.VerdictAllowed, ""}},
		{enforced, "CONNECT", "api.github.com", 8443, policy.Decision{policy.VerdictAllowed, ""}},
		{enforced, "CONNECT", "api.github.com", 80, policy.Decision{policy.VerdictAllowed, ""}},
		{enforced, "CONNECT", "other.test", 80, policy.Decision{policy.VerdictDenied, policy.RuleDomain}},
		{enforced, "CONNECT", "10.0.0.1", 80, policy.Decision{policy.VerdictDenied, policy.RuleForbiddenDestination}},
		{enforced, "GET", "api.github.com", 8080, policy.Decision{policy.VerdictDenied, policy.RulePort}},
		{enforced, "GET", "x.api.github.com", 80, policy.Decision{policy.VerdictDenied, policy.RuleDomain}},
		{enforced, "GET", "github.com", 80, policy.Decision{policy.VerdictDenied, policy.RuleDomain}},
		{enforced, "GET", "example.com", 80, policy.Decision{policy.VerdictAllowed, ""}},
		{enforced, "GET", "a.b.example.com", 80, policy.Decision{policy.VerdictAllowed, ""}},
		{enforced, "GET", "badexample.com", 80, policy.Decision{policy.VerdictDenied, policy.RuleDomain}},
		{enforced, "GET", "example.com.test", 80, policy.Decision{policy.VerdictDenied, policy.RuleDomain}},
		{enforced, "GET", "xn--bcher-kva.example", 80, policy.Decision{policy.VerdictAllowed, ""}},
		{enforced, "GET", "192.0.2.1", 80, policy.Decision{policy.VerdictDenied, policy.RuleDomain}},
		{enforced, "GET", "[2600::1]", 80, policy.Decision{policy.VerdictDenied, policy.RuleDomain}},
		{enforced, "GET", "0x7f.1", 80, policy.Decision{policy.VerdictDenied, policy.RuleForbiddenDestination}},
		{enforced, "GET", "api.github.com", 25, policy.Decision{policy.VerdictDenied, policy.RuleForbiddenPort}},
		{enforced, "GET", "", 80, policy.Decision{policy.VerdictDenied, policy.RuleDomain}},
		{enforced, "PURGE", "example.com", 80, policy.Decision{policy.VerdictDenied, policy.RuleProtocol}},
		{nothing, "purge", "10.0.0.1", 25, policy.Decision{policy.VerdictDenied, policy.RuleProtocol}},
		{reported, "GET", "other.test", 80, policy.Decision{policy.VerdictWouldDeny, policy.RuleDomain}},
		{reported, "GET", "other.test", 81, policy.Decision{policy.VerdictWouldDeny, policy.RulePort}},
		{reported, "CONNECT", "example.com", 80, policy.Decision{policy.VerdictAllowed, ""}},
		{reported, "GET", "example.com", 80, policy.Decision{policy.VerdictAllowed, ""}},
		{reported, "GET", "192.0.2.1", 80, policy.Decision{policy.VerdictWouldDeny, policy.RuleDomain}},
		{reported, "GET", "169.254.42.42", 80, policy.Decision{policy.VerdictDenied, policy.RuleForbiddenDestination}},
		{reported, "CONNECT", "other.test", 587, policy.Decision{policy.VerdictDenied, policy.RuleForbiddenPort}},
		{open, "CONNECT", "other.test", 443, policy.Decision{policy.VerdictAllowed, ""}},
		{open, "CONNECT", "192.0.2.1", 443, policy.Decision{policy.VerdictAllowed, ""}},
		{open, "CONNECT", "2852006442", 443, policy.Decision{policy.VerdictDenied, policy.RuleForbiddenDestination}},
		{open, "GET", "other.test", 80, policy.Decision{policy.VerdictDenied, policy.RulePort}},
		{open, "CONNECT", "other.test", 80, policy.Decision{policy.VerdictDenied, policy.RulePort}},
		{nothing, "CONNECT", "other.test", 80, policy.Decision{policy.VerdictAllowed, ""}},
		{nothing, "TRACE", "other.test", 80, policy.Decision{policy.VerdictDenied, policy.RuleProtocol}},
		{reported, "trace", "example.com", 80, policy.Decision{policy.VerdictDenied, policy.RuleProtocol}},
		{nothing, "GET", "other.test", 80, policy.Decision{policy.VerdictAllowed, ""}},
		{nothing, "CONNECT", "other.test", 443, policy.Decision{policy.VerdictAllowed, ""}},
		{nothing, "CONNECT", "[::ffff:10.0.0.1]", 443, policy.Decision{policy.VerdictDenied, policy.RuleForbiddenDestination}},
	} {
		if got := test.spec.AllowList().Decide(test.method, test.host, test.port); got != test.want {
			t.Errorf("%s %s:%d with %+v: %v, want %v", test.method, test.host, test.port, test.spec.Allow, got, test.want)
		}
	}
}

// TestDecideAgreesWithLinearSearch compares the binary search with a plain one.
func TestDecideAgreesWithLinearSearch(t *testing.T) {
	t.Parallel()
	var texts []string
	for i := range 300 {
		texts = append(texts, fmt.Sprintf("%s%c.h%d.d%d.example", []string{"", "."}[i%2], 'a'+rune(i%3), i%7, i%5))
	}
	spec := v1alpha1.EgressTenantSpec{Allow: &v1alpha1.AllowSpec{Domains: texts}}
	for i := range 3000 {
		host := fmt.Sprintf("%c.h%d.d%d.example", 'a'+rune(i%4), i%8, i%6)
		if i%3 == 0 {
			host = "x." + host
		}
		covers := slices.ContainsFunc(texts, func(text string) bool {
			return text == host || "."+host == text || (text[0] == '.' && strings.HasSuffix(host, text))
		})
		if got := spec.AllowList().Decide(http.MethodGet, host, 80).Verdict == policy.VerdictAllowed; got != covers {
			t.Errorf("%s: allowed %t, want %t", host, got, covers)
		}
	}
}
