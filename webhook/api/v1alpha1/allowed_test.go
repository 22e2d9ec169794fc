package v1alpha1

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestAllowed(t *testing.T) {
	t.Parallel()
	spec := func(allow *AllowSpec) EgressTenantSpec { return EgressTenantSpec{Allow: allow} }
	domains := []string{"api.github.com", ".Example.com", "bücher.example"}
	enforced := spec(&AllowSpec{Domains: domains, Ports: []int32{80, 443, 8443}})
	reported := spec(&AllowSpec{Mode: AllowReport, Domains: domains})
	open := spec(&AllowSpec{Mode: AllowOpen, Ports: []int32{443}})
	nothing := spec(nil)
	for _, test := range []struct {
		spec   EgressTenantSpec
		method string
		host   string
		port   uint16
		want   Decision
	}{
		{enforced, "GET", "api.github.com", 80, Decision{VerdictAllowed, ""}},
		{enforced, "CONNECT", "API.GitHub.com.", 443, Decision{VerdictAllowed, ""}},
		{enforced, "CONNECT", "api.github.com", 8443, Decision{VerdictAllowed, ""}},
		{enforced, "CONNECT", "api.github.com", 80, Decision{VerdictDenied, RulePort}},
		{enforced, "GET", "api.github.com", 8080, Decision{VerdictDenied, RulePort}},
		{enforced, "GET", "x.api.github.com", 80, Decision{VerdictDenied, RuleDomain}},
		{enforced, "GET", "github.com", 80, Decision{VerdictDenied, RuleDomain}},
		{enforced, "GET", "example.com", 80, Decision{VerdictAllowed, ""}},
		{enforced, "GET", "a.b.example.com", 80, Decision{VerdictAllowed, ""}},
		{enforced, "GET", "badexample.com", 80, Decision{VerdictDenied, RuleDomain}},
		{enforced, "GET", "example.com.test", 80, Decision{VerdictDenied, RuleDomain}},
		{enforced, "GET", "xn--bcher-kva.example", 80, Decision{VerdictAllowed, ""}},
		{enforced, "GET", "192.0.2.1", 80, Decision{VerdictDenied, RuleDomain}},
		{enforced, "GET", "[2600::1]", 80, Decision{VerdictDenied, RuleDomain}},
		{enforced, "GET", "0x7f.1", 80, Decision{VerdictDenied, RuleForbiddenDestination}},
		{enforced, "GET", "api.github.com", 25, Decision{VerdictDenied, RuleForbiddenPort}},
		{enforced, "GET", "", 80, Decision{VerdictDenied, RuleDomain}},
		{enforced, "PURGE", "example.com", 80, Decision{VerdictDenied, RuleProtocol}},
		{nothing, "purge", "10.0.0.1", 25, Decision{VerdictDenied, RuleProtocol}},
		{reported, "GET", "other.test", 80, Decision{VerdictWouldDeny, RuleDomain}},
		{reported, "GET", "other.test", 81, Decision{VerdictWouldDeny, RulePort}},
		{reported, "CONNECT", "example.com", 80, Decision{VerdictWouldDeny, RulePort}},
		{reported, "GET", "example.com", 80, Decision{VerdictAllowed, ""}},
		{reported, "GET", "192.0.2.1", 80, Decision{VerdictWouldDeny, RuleDomain}},
		{reported, "GET", "169.254.42.42", 80, Decision{VerdictDenied, RuleForbiddenDestination}},
		{reported, "CONNECT", "other.test", 587, Decision{VerdictDenied, RuleForbiddenPort}},
		{open, "CONNECT", "other.test", 443, Decision{VerdictAllowed, ""}},
		{open, "CONNECT", "192.0.2.1", 443, Decision{VerdictAllowed, ""}},
		{open, "CONNECT", "2852006442", 443, Decision{VerdictDenied, RuleForbiddenDestination}},
		{open, "GET", "other.test", 80, Decision{VerdictDenied, RulePort}},
		{nothing, "GET", "other.test", 80, Decision{VerdictAllowed, ""}},
		{nothing, "CONNECT", "other.test", 443, Decision{VerdictAllowed, ""}},
		{nothing, "CONNECT", "[::ffff:10.0.0.1]", 443, Decision{VerdictDenied, RuleForbiddenDestination}},
	} {
		if got := Allowed(test.spec, test.method, test.host, test.port); got != test.want {
			t.Errorf("%s %s:%d with %+v: %v, want %v", test.method, test.host, test.port, test.spec.Allow, got, test.want)
		}
	}
}

// TestDecideIsWhatTheListSays compares with a search that is slow and plain.
func TestDecideIsWhatTheListSays(t *testing.T) {
	t.Parallel()
	var texts []string
	for i := range 300 {
		texts = append(texts, fmt.Sprintf("%s%c.h%d.d%d.example", []string{"", "."}[i%2], 'a'+rune(i%3), i%7, i%5))
	}
	spec := EgressTenantSpec{Allow: &AllowSpec{Domains: texts}}
	for i := range 3000 {
		host := fmt.Sprintf("%c.h%d.d%d.example", 'a'+rune(i%4), i%8, i%6)
		if i%3 == 0 {
			host = "x." + host
		}
		covers := slices.ContainsFunc(texts, func(text string) bool {
			return text == host || "."+host == text || (text[0] == '.' && strings.HasSuffix(host, text))
		})
		if got := Allowed(spec, http.MethodGet, host, 80).Verdict == VerdictAllowed; got != covers {
			t.Errorf("%s: allowed %t, want %t", host, got, covers)
		}
	}
}

func TestValidateAllow(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		allow *AllowSpec
		want  []string
	}{
		"none":                 {nil, nil},
		"enforced":             {&AllowSpec{Domains: []string{"a.example", ".b.example"}, Ports: []int32{1, 443, 65535}}, nil},
		"a name and all below": {&AllowSpec{Domains: []string{"a.example", ".a.example", "b.a.example"}}, nil},
		"reported":             {&AllowSpec{Mode: AllowReport}, nil},
		"open":                 {&AllowSpec{Mode: AllowOpen, Ports: []int32{443}}, nil},
		"as many":              {&AllowSpec{Domains: entries(1000)}, nil},
		"too many":             {&AllowSpec{Domains: entries(1001)}, []string{"spec.allow.domains: Too many: 1001"}},
		"enforced, nothing":    {&AllowSpec{}, []string{"spec.allow.domains: Required value: "}},
		"open with a list":     {&AllowSpec{Mode: AllowOpen, Domains: []string{"a.example"}}, []string{"spec.allow.domains: Forbidden: "}},
		"other mode":           {&AllowSpec{Mode: "enforce", Domains: []string{"a.example"}}, []string{"spec.allow.mode: Unsupported value: enforce"}},
		"domain twice": {
			&AllowSpec{Domains: []string{"a.example", "A.example.", ".a.example", "bücher.example", "xn--bcher-kva.example"}},
			[]string{"spec.allow.domains[1]: Duplicate value: A.example.", "spec.allow.domains[4]: Duplicate value: xn--bcher-kva.example"},
		},
		"wrong domains": {
			&AllowSpec{Domains: []string{"a.example", "*.x", "192.0.2.1", ".com"}},
			[]string{"spec.allow.domains[1]: Invalid value: *.x", "spec.allow.domains[2]: Invalid value: 192.0.2.1", "spec.allow.domains[3]: Invalid value: .com"},
		},
		"wrong ports": {
			&AllowSpec{Mode: AllowReport, Ports: []int32{0, 80, 25, 53, 65536, 465, 587, 80, -1}},
			[]string{
				"spec.allow.ports[0]: Invalid value: 0", "spec.allow.ports[2]: Invalid value: 25", "spec.allow.ports[3]: Invalid value: 53", "spec.allow.ports[4]: Invalid value: 65536",
				"spec.allow.ports[5]: Invalid value: 465", "spec.allow.ports[6]: Invalid value: 587", "spec.allow.ports[7]: Duplicate value: 80", "spec.allow.ports[8]: Invalid value: -1",
			},
		},
		"too many ports": {&AllowSpec{Mode: AllowReport, Ports: []int32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}}, []string{"spec.allow.ports: Too many: 17"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, problems(test.allow.validate(field.NewPath("spec", "allow")))); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

// TestGenerationOfAllow: what means the same has one generation.
func TestGenerationOfAllow(t *testing.T) {
	t.Parallel()
	generation := func(allow *AllowSpec) string {
		return Tenant{Name: "client-a", EgressTenantSpec: EgressTenantSpec{Proxy: ProxySpec{Port: 3129}, Allow: allow}}.Generation()
	}
	seen := map[string]int{}
	for i, same := range [][]*AllowSpec{
		{nil, {Mode: AllowOpen}, {Mode: AllowOpen, Ports: []int32{443, 80}}},
		{{Mode: AllowOpen, Ports: []int32{443}}},
		{
			{Domains: []string{".b.example", "a.example"}},
			{Mode: AllowEnforce, Domains: []string{"A.example.", "c.b.example", "b.example", ".B.example"}, Ports: []int32{443, 80}},
		},
		{{Mode: AllowReport, Domains: []string{".b.example", "a.example"}}},
		{{Domains: []string{"b.example", "a.example"}}},
		{{Domains: []string{".b.example", "a.example"}, Ports: []int32{443}}},
		{{Mode: AllowReport}},
	} {
		for _, allow := range same {
			got := generation(allow)
			if first, found := seen[got]; found && first != i {
				t.Errorf("%+v has the generation of another", allow)
			}
			seen[got] = i
			if got != generation(same[0]) {
				t.Errorf("%+v and %+v have different generations", allow, same[0])
			}
		}
	}
}
