package inject

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/noproxy"
	file "egress.scw/webhook/api/sidecar"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/settings"
)

func TestNewCluster(t *testing.T) {
	many := exampleSettings()
	for i := range 256 {
		many.Cluster.CIDRs = append(many.Cluster.CIDRs, netip.MustParsePrefix(fmt.Sprintf("192.168.%d.0/24", i)))
	}
	without := exampleSettings()
	without.Cluster.CIDRs = nil
	for name, test := range map[string]struct {
		settings  *settings.Settings
		apiServer string
		want      string // in the error; empty for no error
	}{
		"as Kapsule":          {exampleSettings(), "10.32.0.1", ""},
		"no CIDRs":            {without, "10.32.0.1", ""},
		"API server by name":  {exampleSettings(), "api.example.com", ""},
		"no room for tenants": {many, "10.32.0.1", "cluster.cidrs: Invalid value: 259: NO_PROXY would have"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewCluster(test.settings, mustParseEntry(t, test.apiServer), "v1.2.3")
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
}

func mustParseEntry(t testing.TB, text string) noproxy.Entry {
	t.Helper()
	entry, err := noproxy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

// The domains that pods reach without the proxy are those of NO_PROXY, each once.
func TestDirectNames(t *testing.T) {
	t.Parallel()
	cluster, err := NewCluster(exampleSettings(), mustParseEntry(t, "api.k8s.example"), "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	tenant := &v1alpha1.EgressTenant{}
	tenant.Spec.NoProxy = []string{".Intranet.example.com", "10.8.0.0/16", "192.0.2.1", "intranet.example.com", "bücher.example", "internal"}
	want := []string{"internal", "api.k8s.example", "intranet.example.com", "xn--bcher-kva.example"}
	if got := cluster.DirectNames(tenant); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	noProxy := strings.Split(cluster.NoProxy(tenant), ",")
	for _, domain := range want {
		if !slices.Contains(noProxy, domain) {
			t.Errorf("NO_PROXY lacks %s: %q", domain, noProxy)
		}
	}
	if again := cluster.DirectNames(&v1alpha1.EgressTenant{}); !slices.Equal(again, want[:2]) {
		t.Errorf("the names of another tenant are %q", again)
	}
}

// The longest list fits into the file of sidecars.
func TestDirectNamesAreBounded(t *testing.T) {
	t.Parallel()
	cluster, err := NewCluster(exampleSettings(), mustParseEntry(t, "api.k8s.example"), "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	tenant := &v1alpha1.EgressTenant{Spec: v1alpha1.EgressTenantSpec{Proxy: &v1alpha1.TenantProxy{Port: 3129}}}
	tenant.Name = "client-a"
	for i := range 64 {
		tenant.Spec.NoProxy = append(tenant.Spec.NoProxy, fmt.Sprintf("a%d.example", i))
	}
	if errs := tenant.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	if got := len(cluster.DirectNames(tenant)); got != file.MaxDirect {
		t.Errorf("%d names, want %d", got, file.MaxDirect)
	}
}

func TestProxyURL(t *testing.T) {
	tenant := &v1alpha1.EgressTenant{}
	tenant.Spec.Proxy = &v1alpha1.TenantProxy{Port: 3130}
	for address, want := range map[string]string{
		"172.16.28.8": "http://172.16.28.8:3130",
		"2001:db8::8": "http://[2001:db8::8]:3130",
	} {
		s := exampleSettings()
		s.Proxy.Addresses = []netip.Addr{netip.MustParseAddr(address), netip.MustParseAddr("172.16.28.9")}
		cluster, err := NewCluster(s, mustParseEntry(t, "10.32.0.1"), "v1.2.3")
		if err != nil {
			t.Fatal(err)
		}
		if got := cluster.ProxyURL(tenant); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
		served := withService(tenant, "10.32.4.31")
		if got, direct := cluster.ProxyURL(served), cluster.DirectURL(served); got != "http://10.32.4.31:3128" || direct != want {
			t.Errorf("%s: with a Service %s, and without it %s", address, got, direct)
		}
		served.Status.Conditions[0].Status = metav1.ConditionFalse
		if got := cluster.ProxyURL(served); got != want {
			t.Errorf("%s: with a Service that is not ready %s, want %s", address, got, want)
		}
	}
}

// withService returns the tenant with a Service.
func withService(tenant *v1alpha1.EgressTenant, address string) *v1alpha1.EgressTenant {
	served := tenant.DeepCopy()
	served.Status.ServiceIP = address
	served.Status.Conditions = []metav1.Condition{{Type: names.ConditionServiceReady, Status: metav1.ConditionTrue}}
	return served
}
