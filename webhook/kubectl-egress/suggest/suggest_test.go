package suggest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/golden"
	"sigs.k8s.io/yaml"

	"egress.scw/cloudinit/squid"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/kubectl-egress/audit"
)

// requests describes lines of the audit log: "COUNT METHOD HOST:PORT SNI VERDICT RULE".
func requests(t *testing.T, lines ...string) *Seen {
	t.Helper()
	seen := NewSeen("client-a")
	for i, line := range lines {
		var count int
		var method, target, sni, verdict, rule string
		if _, err := fmt.Sscan(line, &count, &method, &target, &sni, &verdict, &rule); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		host, port, _ := strings.Cut(target, "|")
		for range count {
			seen.Add(&audit.Record{AuditRecord: squid.AuditRecord{
				Time: fmt.Sprintf("2026-11-%02dT00:00:00.000Z", i+1), Tenant: "client-a", Method: method, Host: host, HostPort: port,
				SNI: sni, Verdict: policy.Verdict(verdict), Rule: policy.Rule(rule),
			}})
		}
	}
	return seen
}

func TestPropose(t *testing.T) {
	open := policy.List{Mode: policy.ModeOpen, Ports: []uint16{80, 443}}
	for name, test := range map[string]struct {
		lines   []string
		options Options
		domains []string
		ports   []int32
		denials []string
	}{
		"each name once, sorted": {
			[]string{"2 CONNECT b.example.com|443 b.example.com allowed -", "1 CONNECT a.example.com|443 - allowed -", "1 GET a.example.com|80 - allowed -"},
			Options{},
			[]string{"a.example.com", "b.example.com"},
			[]int32{80, 443},
			nil,
		},
		"only the ports that are used": {
			[]string{"1 CONNECT a.example.com|8443 - would-deny port"}, Options{}, []string{"a.example.com"}, []int32{8443}, nil,
		},
		"the name in TLS too": {
			[]string{"1 CONNECT a.example.com|443 cdn.example.net would-deny sni"}, Options{}, []string{"a.example.com", "cdn.example.net"}, []int32{443}, nil,
		},
		"addresses cannot be listed": {
			[]string{"1 CONNECT a.example.com|443 - allowed -", "3 CONNECT 198.51.100.1|443 - allowed -"},
			Options{},
			[]string{"a.example.com"},
			[]int32{443},
			[]string{"3 domain 198.51.100.1:443 false"},
		},
		"denied requests are left out": {
			[]string{"1 CONNECT a.example.com|443 - allowed -", "5 CONNECT evil.example|443 - denied domain", "2 CONNECT a.example.com|25 - denied forbidden-port"},
			Options{},
			[]string{"a.example.com"},
			[]int32{443},
			[]string{"5 domain evil.example:443 true", "2 forbidden-port a.example.com:25 true"},
		},
		"denied requests on demand": {
			[]string{"5 CONNECT new.example|443 - denied domain", "2 CONNECT a.example.com|25 - denied forbidden-port", "1 CONNECT old.example|443 x.example terminated sni"},
			Options{Denied: true},
			[]string{"new.example", "old.example", "x.example"},
			[]int32{443},
			[]string{"2 forbidden-port a.example.com:25 true"},
		},
		"contents that no list covers": {
			[]string{"1 CONNECT a.example.com|443 - allowed -", "4 CONNECT b.example.com|443 - would-deny client-hello", "2 CONNECT ssh.example.com|443 - would-deny sni"},
			Options{},
			[]string{"a.example.com"},
			[]int32{443},
			[]string{"4 client-hello b.example.com:443 false", "2 sni ssh.example.com:443 false"},
		},
		"rare ones on demand": {
			[]string{"9 CONNECT a.example.com|443 - allowed -", "1 CONNECT once.example|443 - allowed -"},
			Options{Least: 2},
			[]string{"a.example.com"},
			[]int32{443},
			[]string{"1 domain once.example:443 false"},
		},
		"frequent ones, by whatever method and with whatever result": {
			[]string{
				"1 GET a.example.com|80 - allowed -", "1 HEAD a.example.com|80 - allowed -",
				"1 CONNECT b.example.com|443 b.example.com would-deny sni", "1 CONNECT b.example.com|443 b.example.com denied domain",
			},
			Options{Least: 2, Denied: true},
			[]string{"a.example.com", "b.example.com"},
			[]int32{80, 443},
			nil,
		},
		"folded": {
			[]string{"1 CONNECT a.example.com|443 - allowed -", "1 CONNECT b.example.com|443 - allowed -", "1 CONNECT example.org|443 - allowed -", "1 CONNECT www.example.org|443 - allowed -"},
			Options{Fold: true},
			[]string{".example.com", "example.org", "www.example.org"},
			[]int32{443},
			nil,
		},
		"never folded below a public suffix": {
			[]string{
				"1 CONNECT a.github.io|443 - allowed -", "1 CONNECT b.github.io|443 - allowed -", "1 CONNECT a.co.uk|443 - allowed -", "1 CONNECT b.co.uk|443 - allowed -",
				"1 CONNECT one.s3.amazonaws.com|443 - allowed -", "1 CONNECT two.s3.amazonaws.com|443 - allowed -",
			},
			Options{Fold: true},
			[]string{"a.co.uk", "a.github.io", "b.co.uk", "b.github.io", "one.s3.amazonaws.com", "two.s3.amazonaws.com"},
			[]int32{443},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.options.Least = max(test.options.Least, 1)
			got := requests(t, test.lines...).Propose(open, test.options)
			slices.Sort(got.Allow.Domains)
			slices.Sort(test.domains)
			if diff := cmp.Diff(test.domains, got.Allow.Domains); diff != "" {
				t.Errorf("domains: -want +got\n%s", diff)
			}
			if !slices.Equal(got.Allow.Ports, test.ports) {
				t.Errorf("ports %v, want %v", got.Allow.Ports, test.ports)
			}
			var denials []string
			for _, d := range got.Denials {
				denials = append(denials, fmt.Sprintf("%d %s %s:%d %v", d.Requests, d.Rule, d.Host, d.Port, d.Before))
			}
			if diff := cmp.Diff(test.denials, denials); diff != "" {
				t.Errorf("denials: -want +got\n%s", diff)
			}
			requireSmallest(t, requests(t, test.lines...), &got)
		})
	}
}

// requireSmallest requires that the proposal is valid, and that each entry of the list
// covers a request that the others do not.
func requireSmallest(t *testing.T, seen *Seen, proposal *Proposal) {
	t.Helper()
	tenant := v1alpha1.EgressTenant{Spec: v1alpha1.EgressTenantSpec{Proxy: &v1alpha1.TenantProxy{Port: 3129}, Allow: &proposal.Allow}}
	tenant.Name = "client-a"
	if errs := tenant.Validate(); len(errs) > 0 {
		t.Errorf("the proposal is not valid: %v", errs.ToAggregate())
	}
	covered := func() int {
		p := Proposal{}
		seen.judge(tenant.Spec.AllowList(), &p)
		return p.Covered
	}
	all := covered()
	domains := proposal.Allow.Domains
	for i, domain := range domains {
		if len(domains) == 1 {
			break
		}
		tenant.Spec.Allow = &v1alpha1.AllowSpec{Domains: slices.Concat(domains[:i], domains[i+1:]), Ports: proposal.Allow.Ports}
		if covered() >= all {
			t.Errorf("without %s, the list covers the same %d requests", domain, all)
		}
	}
}

func TestDestinationsAreBounded(t *testing.T) {
	seen := NewSeen("client-a")
	for i := range MaxDestinations + 7 {
		seen.Add(&audit.Record{AuditRecord: squid.AuditRecord{Tenant: "client-a", Method: "CONNECT", Host: fmt.Sprintf("h%d.example.com", i), HostPort: "443", SNI: "-", Verdict: "allowed", Rule: "-"}})
	}
	if got := seen.Propose(policy.List{}, Options{Least: 1}); got.Skipped != 7 || got.Requests != MaxDestinations+7 {
		t.Errorf("%d skipped of %d", got.Skipped, got.Requests)
	}
}

// A forged line may have names of 64 KiB: they are not kept.
func TestLongNamesAreNotKept(t *testing.T) {
	seen := requests(t, "1 CONNECT a.example.com|443 - allowed -", "1 CONNECT "+strings.Repeat("a.", 30_000)+"b|443 - allowed -")
	if got := seen.Propose(policy.List{}, Options{Least: 1}); got.Unread != 1 || got.Covered != 1 || len(got.Denials) != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestOtherTenantsAndUnreadConnections(t *testing.T) {
	seen := requests(t, "1 CONNECT a.example.com|443 - allowed -", "2 - -|- - - -")
	seen.Add(&audit.Record{AuditRecord: squid.AuditRecord{Tenant: "client-b", Host: "b.example.com", HostPort: "443", Verdict: "allowed"}})
	got := seen.Propose(policy.List{}, Options{Least: 1})
	if got.Requests != 3 || got.Unread != 2 || got.Covered != 1 || len(got.Allow.Domains) != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestManifest(t *testing.T) {
	seen := requests(
		t, "120 CONNECT api.github.com|443 api.github.com allowed -", "30 CONNECT one.example.com|443 one.example.com would-deny domain",
		"20 GET two.example.com|80 - would-deny domain", "5 CONNECT 198.51.100.1|443 - would-deny domain",
		"3 CONNECT a.example.net|443 hidden.example.net would-deny client-hello", "2 CONNECT mail.example.com|587 - denied forbidden-port", "1 - -|- - - -",
	)
	tenant := &v1alpha1.EgressTenant{Spec: v1alpha1.EgressTenantSpec{
		Path: v1alpha1.PathProxy, Proxy: &v1alpha1.TenantProxy{Port: 3129},
		Allow: &v1alpha1.AllowSpec{Mode: policy.ModeReport, Domains: []string{"api.github.com", "unused.example.org"}},
	}}
	tenant.Name = "client-a"
	proposal := seen.Propose(tenant.Spec.AllowList(), Options{Fold: true, Least: 1})
	proposal.Malformed = 2
	text, err := proposal.Manifest(tenant)
	if err != nil {
		t.Fatal(err)
	}
	golden.Assert(t, text, "manifest.golden.yaml")
	var object v1alpha1.EgressTenant
	if err := yaml.UnmarshalStrict([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	if errs := object.Validate(); len(errs) > 0 || object.Spec.AllowList().Mode != policy.ModeEnforce {
		t.Errorf("the manifest is not valid: %v", errs)
	}
}
