package v1alpha1

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/policy"
)

func TestValidateAllow(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		allow *AllowSpec
		want  []string
	}{
		"none":                 {nil, nil},
		"enforced":             {&AllowSpec{Domains: []string{"a.example", ".b.example"}, Ports: []int32{1, 443, 65535}}, nil},
		"a name and all below": {&AllowSpec{Domains: []string{"a.example", ".a.example", "b.a.example"}}, nil},
		"reported":             {&AllowSpec{Mode: policy.ModeReport}, nil},
		"open":                 {&AllowSpec{Mode: policy.ModeOpen, Ports: []int32{443}}, nil},
		"as many":              {&AllowSpec{Domains: entries(1000)}, nil},
		"too many":             {&AllowSpec{Domains: entries(1001)}, []string{"spec.allow.domains: Too many: 1001"}},
		"enforced, nothing":    {&AllowSpec{}, []string{"spec.allow.domains: Required value: "}},
		"open with a list":     {&AllowSpec{Mode: policy.ModeOpen, Domains: []string{"a.example"}}, []string{"spec.allow.domains: Forbidden: "}},
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
			&AllowSpec{Mode: policy.ModeReport, Ports: []int32{0, 80, 25, 53, 65536, 465, 587, 80, -1}},
			[]string{
				"spec.allow.ports[0]: Invalid value: 0", "spec.allow.ports[2]: Invalid value: 25", "spec.allow.ports[3]: Invalid value: 53", "spec.allow.ports[4]: Invalid value: 65536",
				"spec.allow.ports[5]: Invalid value: 465", "spec.allow.ports[6]: Invalid value: 587", "spec.allow.ports[7]: Duplicate value: 80", "spec.allow.ports[8]: Invalid value: -1",
			},
		},
		"too many ports": {&AllowSpec{Mode: policy.ModeReport, Ports: []int32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}}, []string{"spec.allow.ports: Too many: 17"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, problems(test.allow.validate(field.NewPath("spec", "allow")))); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRevisionOfAllow: allow lists of the same meaning have the same revision.
func TestRevisionOfAllow(t *testing.T) {
	t.Parallel()
	revision := func(allow *AllowSpec) string {
		return Tenant{Name: "client-a", EgressTenantSpec: EgressTenantSpec{Proxy: &TenantProxy{Port: 3129}, Allow: allow}}.Revision()
	}
	seen := map[string]int{}
	for i, same := range [][]*AllowSpec{
		{nil, {Mode: policy.ModeOpen}, {Mode: policy.ModeOpen, Ports: []int32{443, 80}}},
		{{Mode: policy.ModeOpen, Ports: []int32{443}}},
		{
			{Domains: []string{".b.example", "a.example"}},
			{Mode: policy.ModeEnforce, Domains: []string{"A.example.", "c.b.example", "b.example", ".B.example"}, Ports: []int32{443, 80}},
		},
		{{Mode: policy.ModeReport, Domains: []string{".b.example", "a.example"}}},
		{{Domains: []string{"b.example", "a.example"}}},
		{{Domains: []string{".b.example", "a.example"}, Ports: []int32{443}}},
		{{Mode: policy.ModeReport}},
	} {
		for _, allow := range same {
			got := revision(allow)
			if first, found := seen[got]; found && first != i {
				t.Errorf("%+v has the revision of another", allow)
			}
			seen[got] = i
			if got != revision(same[0]) {
				t.Errorf("%+v and %+v have different revisions", allow, same[0])
			}
		}
	}
}
