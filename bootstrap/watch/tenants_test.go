package watch

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/bootstrap/config"
	"egress.scw/bootstrap/config/configtest"
	"egress.scw/webhook/api/v1alpha1"
)

var created = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// tenant is an EgressTenant that was created some hours after others.
func tenant(name string, port int32, hours int, domains ...string) v1alpha1.EgressTenant {
	t := v1alpha1.EgressTenant{}
	t.Name, t.CreationTimestamp = name, metav1.NewTime(created.Add(time.Duration(hours)*time.Hour))
	t.Spec.Path, t.Spec.Proxy = v1alpha1.PathProxy, &v1alpha1.TenantProxy{Port: port}
	if len(domains) > 0 {
		t.Spec.Allow = &v1alpha1.AllowSpec{Domains: domains}
	}
	return t
}

// The shared egress.yaml has client-a on port 3129, client-b on 3130 with an address of
// its own, and a pool of client-a.
func TestMerge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		tenants []v1alpha1.EgressTenant
		want    string // tenants in their order, with port and domains
		leftOut string
	}{
		{"none in the cluster", nil, "client-a:3129 client-b:3130", ""},
		{"the cluster's form wins", []v1alpha1.EgressTenant{tenant("client-a", 3139, 0, "a.example.com")}, "client-a:3139[a.example.com] client-b:3130", ""},
		{"others come after, by name", []v1alpha1.EgressTenant{tenant("z", 3141, 0), tenant("y", 3142, 1)}, "client-a:3129 client-b:3130 y:3142 z:3141", ""},
		{"ports are exchanged", []v1alpha1.EgressTenant{tenant("client-a", 3130, 0), tenant("client-b", 3129, 0)}, "client-a:3130 client-b:3129", ""},
		{"a port of egress.yaml alone", []v1alpha1.EgressTenant{tenant("x", 3130, 0), tenant("y", 3141, 1)}, "client-a:3129 client-b:3130 y:3141", "x spec.proxy.port"},
		{"the older has the port", []v1alpha1.EgressTenant{tenant("x", 3141, 1), tenant("y", 3141, 0)}, "client-a:3129 client-b:3130 y:3141", "x spec.proxy.port"},
		{"a tenant with a pool comes last", []v1alpha1.EgressTenant{tenant("client-a", 3129, 2), tenant("x", 3130, 0)}, "client-b:3130 client-a:3129", "x spec.proxy.port"},
		{
			"more domains than fit",
			[]v1alpha1.EgressTenant{tenant("x", 3141, 0, "a.example.com"), tenant("y", 3142, 1, "b.example.com", "c.example.com"), tenant("z", 3143, 2, "d.example.com")},
			"client-a:3129 client-b:3130 x:3141[a.example.com] z:3143[d.example.com]", "y squid.conf",
		},
		{"invalid by itself", []v1alpha1.EgressTenant{tenant("x", 80, 0)}, "client-a:3129 client-b:3130", "x spec.proxy.port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			egress := configtest.Load(t)
			before := configtest.Load(t)
			merged, leftOut, err := Merge(egress, c.tenants, fitting)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, tenant := range merged.Spec.Tenants {
				got = append(got, describe(tenant))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("tenants %v, want %s", got, c.want)
			}
			var left []string
			for _, l := range leftOut {
				field, _, _ := strings.Cut(l.Problem.Error(), ":")
				left = append(left, l.Tenant.Name+" "+field)
			}
			if strings.Join(left, ", ") != c.leftOut {
				t.Errorf("left out %q, want %q", left, c.leftOut)
			}
			if errs := merged.Validate(); len(errs) > 0 {
				t.Errorf("not valid: %v", errs)
			}
			if diff := cmp.Diff(describeAll(before.Spec.Tenants), describeAll(egress.Spec.Tenants)); diff != "" {
				t.Errorf("the argument changed: %s", diff)
			}
		})
	}
}

// A pool needs its tenant. If that is left out, there is no valid stack.
func TestMergeNeedsTheTenantOfAPool(t *testing.T) {
	t.Parallel()
	_, leftOut, err := Merge(configtest.Load(t), []v1alpha1.EgressTenant{tenant("client-a", 3130, 0)}, fitting)
	if err == nil || len(leftOut) != 1 || !strings.Contains(err.Error(), "spec.cluster.pools[1].tenant") {
		t.Errorf("left out %v, error %v", leftOut, err)
	}
}

// fitting refuses more than two domains in all.
func fitting(egress *config.Egress) error {
	domains := 0
	for _, tenant := range egress.Spec.Tenants {
		if tenant.Allow != nil {
			domains += len(tenant.Allow.Domains)
		}
	}
	if domains > 2 {
		return errors.New("squid.conf: too large")
	}
	return nil
}

// An egress.yaml that does not fit by itself is an error, and no EgressTenant is left out
// for it.
func TestMergeOfAnEgressThatDoesNotFit(t *testing.T) {
	t.Parallel()
	failing := func(*config.Egress) error { return errors.New("squid.conf: too large") }
	if _, leftOut, err := Merge(configtest.Load(t), []v1alpha1.EgressTenant{tenant("x", 3141, 0)}, failing); err == nil || len(leftOut) > 0 {
		t.Errorf("left out %v, error %v", leftOut, err)
	}
}

// With spec.proxy.identity: Offered, the proxy has ports for 63 tenants. The youngest is
// left out, although the error is not in a field of its own.
func TestMergeLeavesOutTheTenantTooMany(t *testing.T) {
	t.Parallel()
	var tenants []v1alpha1.EgressTenant
	for i := range 62 { // egress.yaml has two
		tenants = append(tenants, tenant("t"+strconv.Itoa(i), int32(3140+i), i))
	}
	merged, leftOut, err := Merge(configtest.Load(t, "proxy:\n", "proxy:\n    identity: Offered\n"), tenants, fitting)
	if err != nil {
		t.Fatal(err)
	}
	if len(merged.Spec.Tenants) != 63 || len(leftOut) != 1 || leftOut[0].Tenant.Name != "t61" || !strings.HasPrefix(leftOut[0].Problem.Error(), "egress.yaml: spec.proxy.identity: ") {
		t.Errorf("%d tenants, left out %v", len(merged.Spec.Tenants), leftOut)
	}
}

func describe(tenant v1alpha1.Tenant) string {
	text := tenant.Name + ":" + strconv.Itoa(int(tenant.ProxyPort()))
	if tenant.Allow != nil {
		text += "[" + strings.Join(tenant.Allow.Domains, ",") + "]"
	}
	return text
}

func describeAll(tenants []v1alpha1.Tenant) []string {
	var all []string
	for _, tenant := range tenants {
		all = append(all, describe(tenant))
	}
	return all
}
