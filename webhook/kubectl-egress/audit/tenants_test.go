package audit

import (
	"fmt"
	"testing"
)

func TestTenants(t *testing.T) {
	var tenants Tenants
	if got := tenants.String(); got != "none" {
		t.Errorf("without a name: %q", got)
	}
	for _, name := range []string{"b", "a", "b"} {
		tenants.Add(name)
	}
	if got := tenants.String(); got != "a, b" {
		t.Errorf("two names: %q", got)
	}
	for i := range MaxTenants {
		tenants.Add(fmt.Sprint("c", i))
	}
	if got := tenants.String(); got != "a, b, c0, c1, c2, c3, c4, c5, c6, c7 and others" {
		t.Errorf("many names: %q", got)
	}
}
