package settings

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/webhook/api/v1alpha1"
)

func tenant(name string, egressIP v1alpha1.EgressIP) *v1alpha1.EgressTenant {
	t := &v1alpha1.EgressTenant{ObjectMeta: metav1.ObjectMeta{Name: name}}
	t.Spec.Proxy = &v1alpha1.TenantProxy{EgressIP: egressIP}
	return t
}

func TestEgressAddresses(t *testing.T) {
	t.Parallel()
	shared := tenant("client-a", v1alpha1.EgressIPShared)
	own, other := tenant("client-b", v1alpha1.EgressIPDedicated), tenant("client-c", v1alpha1.EgressIPDedicated)
	for name, test := range map[string]struct {
		egress string
		want   string // the addresses of the three tenants
	}{
		"none":                     {"{}", "[] [] []"},
		"shared":                   {"{shared: [203.0.113.50]}", "[203.0.113.50] [] []"},
		"in normal form":           {`{shared: ["2001:DB8:0::50", "::ffff:203.0.113.50"]}`, "[2001:db8::50 203.0.113.50] [] []"},
		"one each":                 {`{shared: [203.0.113.50], dedicated: {client-c: ["2001:db8::52"], client-b: [203.0.113.51, 203.0.113.53]}}`, "[203.0.113.50] [203.0.113.51 203.0.113.53] [2001:db8::52]"},
		"for a tenant that shares": {"{shared: [203.0.113.50], dedicated: {client-a: [203.0.113.51]}}", "[203.0.113.50] [] []"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings, err := Parse([]byte(header + "proxy: {addresses: [172.16.28.8], egressAddresses: " + test.egress + "}"))
			if err != nil {
				t.Fatal(err)
			}
			addresses := settings.Proxy.Egress
			if got := fmt.Sprint(addresses.Of(shared), addresses.Of(own), addresses.Of(other)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestParseRefusesEgressAddresses: every wrong address is reported with its
// path.
func TestParseRefusesEgressAddresses(t *testing.T) {
	t.Parallel()
	wrong := []string{"", "proxy.example", "203.0.113.50:443", "203.0.113.0/24", "fe80::1%eth0", "0.0.0.0", "127.0.0.1", "224.0.0.1"}
	_, err := Parse([]byte(header + "proxy: {addresses: [172.16.28.8], egressAddresses: {shared: ['" + strings.Join(wrong, "', '") + "']}}"))
	if err == nil {
		t.Fatal("accepted")
	}
	for i := range wrong {
		if path := fmt.Sprintf("proxy.egressAddresses.shared[%d]: ", i); strings.Count(err.Error(), path) != 1 {
			t.Errorf("%q is not reported once as %s in: %v", wrong[i], path, err)
		}
	}
	for name, test := range map[string]struct{ egress, want string }{
		"an address twice":             {`{shared: [203.0.113.50, "::ffff:203.0.113.50"]}`, "shared[1]: Duplicate value"},
		"a shared one is a tenant's":   {"{shared: [203.0.113.50], dedicated: {client-a: [203.0.113.50]}}", "dedicated[client-a][0]: Duplicate value"},
		"two tenants have one address": {"{dedicated: {client-b: [203.0.113.50], client-a: [203.0.113.50]}}", "dedicated[client-b][0]: Duplicate value"},
		"no address":                   {"{dedicated: {client-a: ['']}}", "dedicated[client-a][0]: Invalid value"},
		"no tenant":                    {"{dedicated: {'': [203.0.113.51]}}", "dedicated[]: Invalid value"},
		"not a tenant's name":          {"{dedicated: {Client: [203.0.113.51]}}", "dedicated[Client]: Invalid value"},
		"the address as the name":      {"{dedicated: {203.0.113.51: [client-a]}}", "dedicated[203.0.113.51]: Invalid value"},
	} {
		_, err := Parse([]byte(header + "proxy: {addresses: [172.16.28.8], egressAddresses: " + test.egress + "}"))
		if err == nil || !strings.Contains(err.Error(), "  proxy.egressAddresses."+test.want) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}
