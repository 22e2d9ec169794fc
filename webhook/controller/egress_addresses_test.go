package controller

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/api/v1alpha1"
)

func TestEgressAddresses(t *testing.T) {
	t.Parallel()
	shared, own, other := tenantFixture("client-a", 3129), tenantFixture("client-b", 3130), tenantFixture("client-c", 3131)
	own.Spec.Proxy.EgressIP, other.Spec.Proxy.EgressIP = v1alpha1.EgressIPDedicated, v1alpha1.EgressIPDedicated
	for name, test := range map[string]struct {
		texts []string
		want  string // of the three tenants
	}{
		"none":               {nil, "[] [] []"},
		"one for all":        {[]string{"203.0.113.50"}, "[203.0.113.50] [] []"},
		"in normal form":     {[]string{"2001:DB8:0::50", "::ffff:203.0.113.50"}, "[2001:db8::50 203.0.113.50] [] []"},
		"one each":           {[]string{"client-c=2001:db8::52", "203.0.113.50", "client-b=203.0.113.51"}, "[203.0.113.50] [203.0.113.51] [2001:db8::52]"},
		"for one who shares": {[]string{"203.0.113.50", "client-a=203.0.113.51"}, "[203.0.113.50] [] []"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addresses, err := ParseEgressAddresses(test.texts)
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(addresses.Of(shared), addresses.Of(own), addresses.Of(other))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestParseEgressAddressesRefuses: every one that is wrong, by its place.
func TestParseEgressAddressesRefuses(t *testing.T) {
	t.Parallel()
	wrong := []string{
		"", "proxy.example", "203.0.113.50:443", "203.0.113.0/24", "fe80::1%eth0", "0.0.0.0", "127.0.0.1", "224.0.0.1",
		"client-a=", "=203.0.113.51", "Client=203.0.113.51", "client-a=client-b=203.0.113.51", "203.0.113.51=client-a",
	}
	if _, err := ParseEgressAddresses(wrong); err == nil {
		t.Error("accepted")
	} else {
		for i := range wrong {
			if at := fmt.Sprintf("egressAddresses[%d]: ", i); strings.Count(err.Error(), at) != 1 {
				t.Errorf("%q is not named once as %s in: %v", wrong[i], at, err)
			}
		}
	}
	for name, texts := range map[string][]string{
		"an address twice":             {"203.0.113.50", "::ffff:203.0.113.50"},
		"a shared one is a tenant's":   {"203.0.113.50", "client-a=203.0.113.50"},
		"two tenants have one address": {"client-a=203.0.113.50", "client-b=203.0.113.50"},
		"a tenant has two":             {"client-a=203.0.113.50", "client-a=203.0.113.51"},
	} {
		if _, err := ParseEgressAddresses(texts); err == nil || !strings.Contains(err.Error(), "egressAddresses[1]: Duplicate value") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}
