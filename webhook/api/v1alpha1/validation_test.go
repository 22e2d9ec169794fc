package v1alpha1

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/names"
)

// problems returns path, type and value of each error, without its explanation.
func problems(errs field.ErrorList) []string {
	var texts []string
	for _, err := range errs {
		texts = append(texts, fmt.Sprintf("%s: %s: %v", err.Field, err.Type, err.BadValue))
	}
	return texts
}

// entries returns count different entries of spec.noProxy.
func entries(count int) []string {
	var list []string
	for i := range count {
		list = append(list, fmt.Sprintf("host-%d.example", i))
	}
	return list
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*EgressTenant)
		want   []string
	}{
		"valid":                 {func(*EgressTenant) {}, nil},
		"path by default":       {func(e *EgressTenant) { e.Spec.Path = "" }, nil},
		"lowest port":           {func(e *EgressTenant) { e.Spec.Proxy.Port = names.TenantPortMin }, nil},
		"highest port":          {func(e *EgressTenant) { e.Spec.Proxy.Port = names.TenantPortMax }, nil},
		"port below":            {func(e *EgressTenant) { e.Spec.Proxy.Port = names.TenantPortMin - 1 }, []string{"spec.proxy.port: Invalid value: 3128"}},
		"port above":            {func(e *EgressTenant) { e.Spec.Proxy.Port = names.TenantPortMax + 1 }, []string{"spec.proxy.port: Invalid value: 3256"}},
		"no port":               {func(e *EgressTenant) { e.Spec.Proxy.Port = 0 }, []string{"spec.proxy.port: Invalid value: 0"}},
		"no proxy":              {func(e *EgressTenant) { e.Spec.Proxy = nil }, []string{"spec.proxy: Required value: "}},
		"no proxy by default":   {func(e *EgressTenant) { e.Spec.Proxy, e.Spec.Path = nil, "" }, []string{"spec.proxy: Required value: "}},
		"longest name":          {func(e *EgressTenant) { e.Name = strings.Repeat("a", 63) }, nil},
		"name of digits":        {func(e *EgressTenant) { e.Name = "42" }, nil},
		"no name":               {func(e *EgressTenant) { e.Name = "" }, []string{"metadata.name: Invalid value: "}},
		"name with a dot":       {func(e *EgressTenant) { e.Name = "a.b" }, []string{"metadata.name: Invalid value: a.b"}},
		"name with capitals":    {func(e *EgressTenant) { e.Name = "Client" }, []string{"metadata.name: Invalid value: Client"}},
		"name ends in a dash":   {func(e *EgressTenant) { e.Name = "a-" }, []string{"metadata.name: Invalid value: a-"}},
		"name ends a line":      {func(e *EgressTenant) { e.Name = "a\n" }, []string{"metadata.name: Invalid value: a\n"}},
		"other path":            {func(e *EgressTenant) { e.Spec.Path = "Tunnel" }, []string{"spec.path: Unsupported value: Tunnel"}},
		"shared address":        {func(e *EgressTenant) { e.Spec.Proxy.EgressIP = EgressIPShared }, nil},
		"dedicated address":     {func(e *EgressTenant) { e.Spec.Proxy.EgressIP = EgressIPDedicated }, nil},
		"address in small":      {func(e *EgressTenant) { e.Spec.Proxy.EgressIP = "dedicated" }, []string{"spec.proxy.egressIP: Unsupported value: dedicated"}},
		"least bandwidth":       {func(e *EgressTenant) { e.Spec.Proxy.BandwidthKiB = 16 }, nil},
		"most bandwidth":        {func(e *EgressTenant) { e.Spec.Proxy.BandwidthKiB = 1 << 20 }, nil},
		"too little bandwidth":  {func(e *EgressTenant) { e.Spec.Proxy.BandwidthKiB = 15 }, []string{"spec.proxy.bandwidthKiB: Invalid value: 15"}},
		"too much bandwidth":    {func(e *EgressTenant) { e.Spec.Proxy.BandwidthKiB = 1<<20 + 1 }, []string{"spec.proxy.bandwidthKiB: Invalid value: 1048577"}},
		"negative bandwidth":    {func(e *EgressTenant) { e.Spec.Proxy.BandwidthKiB = -1 }, []string{"spec.proxy.bandwidthKiB: Invalid value: -1"}},
		"as many entries":       {func(e *EgressTenant) { e.Spec.NoProxy = entries(64) }, nil},
		"too many entries":      {func(e *EgressTenant) { e.Spec.NoProxy = entries(65) }, []string{"spec.noProxy: Too many: 65"}},
		"entry with a new line": {func(e *EgressTenant) { e.Spec.NoProxy = []string{"a.example", "b\nc"} }, []string{"spec.noProxy[1]: Invalid value: b\nc"}},
		"empty entry":           {func(e *EgressTenant) { e.Spec.NoProxy = []string{""} }, []string{"spec.noProxy[0]: Invalid value: "}},
		"entry twice":           {func(e *EgressTenant) { e.Spec.NoProxy = []string{"a.example", "b.example", "a.example"} }, []string{"spec.noProxy[2]: Duplicate value: a.example"}},
		"entry in other forms": {
			func(e *EgressTenant) {
				e.Spec.NoProxy = []string{
					"a.example", ".A.example.", "bücher.example", "xn--bcher-kva.example",
					"2001:db8::1", "[2001:DB8:0::1]", "10.0.0.0/8", "10.1.2.3/8", "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1/32",
				}
			},
			[]string{
				"spec.noProxy[1]: Duplicate value: .A.example.", "spec.noProxy[3]: Duplicate value: xn--bcher-kva.example",
				"spec.noProxy[5]: Duplicate value: [2001:DB8:0::1]", "spec.noProxy[7]: Duplicate value: 10.1.2.3/8",
				"spec.noProxy[9]: Duplicate value: 192.0.2.1",
			},
		},
		"everything at once": {
			func(e *EgressTenant) {
				e.Name = "A"
				e.Spec = EgressTenantSpec{
					Path: "Tunnel", Proxy: &TenantProxy{Port: 80, EgressIP: "Own"},
					NoProxy: append(entries(63), "*.example", "HOST-0.example", "http://x.example"),
				}
			},
			[]string{
				"metadata.name: Invalid value: A", "spec.path: Unsupported value: Tunnel", "spec.proxy.port: Invalid value: 80",
				"spec.proxy.egressIP: Unsupported value: Own", "spec.noProxy: Too many: 66", "spec.noProxy[63]: Invalid value: *.example",
				"spec.noProxy[64]: Duplicate value: HOST-0.example", "spec.noProxy[65]: Invalid value: http://x.example",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tenant := &EgressTenant{
				ObjectMeta: metav1.ObjectMeta{Name: "client-a"},
				Spec:       EgressTenantSpec{Path: PathProxy, Proxy: &TenantProxy{Port: 3200}, NoProxy: []string{"intranet.example.com", "10.0.0.0/8"}},
			}
			test.change(tenant)
			if diff := cmp.Diff(test.want, problems(tenant.Validate())); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

// TestValidateExplains: each error states the remedy.
func TestValidateExplains(t *testing.T) {
	t.Parallel()
	tenant := &EgressTenant{Spec: EgressTenantSpec{Path: "Tunnel", Proxy: &TenantProxy{EgressIP: "Own"}, NoProxy: []string{"*.example"}}}
	text := tenant.Validate().ToAggregate().Error()
	for _, want := range []string{
		`supported values: "Proxy"`, `supported values: "Shared", "Dedicated"`, "must be between 3129 and 3255", "a domain name covers all names below it", "lower case alphanumeric",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in: %s", want, text)
		}
	}
}

func TestValidateTenants(t *testing.T) {
	t.Parallel()
	tenant := func(name string, port int32, noProxy ...string) Tenant {
		return Tenant{Name: name, EgressTenantSpec: EgressTenantSpec{Proxy: &TenantProxy{Port: port}, NoProxy: noProxy}}
	}
	dedicated := func(name string, port int32) Tenant {
		result := tenant(name, port)
		result.Proxy.EgressIP = EgressIPDedicated
		return result
	}
	for name, test := range map[string]struct {
		tenants []Tenant
		want    []string
	}{
		"none": {nil, nil},
		"valid": {
			[]Tenant{tenant("a", 3129, "x.example"), tenant("b", 3130, "x.example"), tenant("c", names.TenantPortMax)}, nil,
		},
		"one name": {
			[]Tenant{tenant("a", 3129), tenant("b", 3130), tenant("a", 3131)},
			[]string{"tenants[2].name: Duplicate value: a"},
		},
		"one port": {
			[]Tenant{tenant("a", 3129), tenant("b", 3130), tenant("c", 3129)},
			[]string{"tenants[2].proxy.port: Duplicate value: 3129"},
		},
		"one tenant three times": {
			[]Tenant{tenant("a", 3129), tenant("a", 3129), tenant("a", 3129)},
			[]string{
				"tenants[1].name: Duplicate value: a", "tenants[1].proxy.port: Duplicate value: 3129",
				"tenants[2].name: Duplicate value: a", "tenants[2].proxy.port: Duplicate value: 3129",
			},
		},
		"as many addresses": {
			[]Tenant{dedicated("a", 3129), dedicated("b", 3130), tenant("c", 3131), dedicated("d", 3132), dedicated("e", 3133)}, nil,
		},
		"too many addresses": {
			[]Tenant{dedicated("a", 3129), dedicated("b", 3130), dedicated("c", 3131), dedicated("d", 3132), dedicated("e", 3133), tenant("f", 3134), dedicated("g", 3135)},
			[]string{"tenants[4].proxy.egressIP: Invalid value: Dedicated", "tenants[6].proxy.egressIP: Invalid value: Dedicated"},
		},
		"without proxy": {
			[]Tenant{{Name: "a"}, {Name: "b"}},
			[]string{"tenants[0].proxy: Required value: ", "tenants[1].proxy: Required value: "},
		},
		"everything at once": {
			[]Tenant{tenant("A", 80), tenant("b", 3129, "x", "X."), {Name: "b", EgressTenantSpec: EgressTenantSpec{Path: "Tunnel", Proxy: &TenantProxy{Port: 80}}}},
			[]string{
				"tenants[0].name: Invalid value: A", "tenants[0].proxy.port: Invalid value: 80",
				"tenants[1].noProxy[1]: Duplicate value: X.",
				"tenants[2].path: Unsupported value: Tunnel", "tenants[2].proxy.port: Invalid value: 80",
				"tenants[2].name: Duplicate value: b", "tenants[2].proxy.port: Duplicate value: 80",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, problems(ValidateTenants(test.tenants, field.NewPath("tenants")))); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}
