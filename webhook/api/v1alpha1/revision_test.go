package v1alpha1

import (
	"reflect"
	"regexp"
	"testing"
)

func TestRevision(t *testing.T) {
	t.Parallel()
	tenant := func(changes ...func(*Tenant)) Tenant {
		result := Tenant{Name: "client-a", EgressTenantSpec: EgressTenantSpec{Proxy: &TenantProxy{Port: 3129}}}
		for _, change := range changes {
			change(&result)
		}
		return result
	}
	// Proxies in use serve this revision: a change shows every tenant as outdated
	// until bootstrap has updated its proxy.
	const pinned = "1fddad3d6e2218ff"
	for name, test := range map[string]struct {
		tenant Tenant
		same   bool
	}{
		"unchanged":                {tenant(), true},
		"default path":             {tenant(func(t *Tenant) { t.Path = PathProxy }), true},
		"default address":          {tenant(func(t *Tenant) { t.Proxy.EgressIP = EgressIPShared }), true},
		"noProxy":                  {tenant(func(t *Tenant) { t.NoProxy = []string{"a.example", "b.example"} }), true},
		"noProxy in another order": {tenant(func(t *Tenant) { t.NoProxy = []string{"b.example", "a.example"} }), true},
		"empty, not missing":       {tenant(func(t *Tenant) { t.NoProxy = []string{} }), true},
		"other name":               {tenant(func(t *Tenant) { t.Name = "client-b" }), false},
		"other port":               {tenant(func(t *Tenant) { t.Proxy.Port = 3130 }), false},
		"address of its own":       {tenant(func(t *Tenant) { t.Proxy.EgressIP = EgressIPDedicated }), false},
		"bandwidth":                {tenant(func(t *Tenant) { t.Proxy.BandwidthKiB = 1024 }), false},
		"other path":               {tenant(func(t *Tenant) { t.Path = "Gateway" }), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := test.tenant.Revision()
			if (got == pinned) != test.same {
				t.Errorf("revision is %s, which should be %s: %t", got, pinned, test.same)
			}
			if !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(got) {
				t.Errorf("%q is not a revision", got)
			}
		})
	}
}

// TestRevisionDoesNotChangeTheTenant: it normalises a copy.
func TestRevisionDoesNotChangeTheTenant(t *testing.T) {
	t.Parallel()
	tenant := Tenant{Name: "a", EgressTenantSpec: EgressTenantSpec{Proxy: &TenantProxy{Port: 3129}, NoProxy: []string{"b.example"}}}
	before := *tenant.DeepCopy()
	tenant.Revision()
	if !reflect.DeepEqual(before, tenant) {
		t.Errorf("%+v has become %+v", before, tenant)
	}
}

// TestRevisionCountsEveryField: a new field of the spec fails this test until the
// author has decided whether the proxy uses it.
func TestRevisionCountsEveryField(t *testing.T) {
	t.Parallel()
	unseen := map[string]bool{
		"EgressTenantSpec.NoProxy": true, "EgressTenantSpec.Runtimes": true, "EgressTenantSpec.ClusterAccess": true,
		"EgressTenantSpec.Sidecar": true, "EgressTenantSpec.DNS": true,
		"EgressTenantSpec.Ingress": true, "EgressTenantSpec.IngressFrom": true, "EgressTenantSpec.NodePool": true,
	}
	withProxy := func() Tenant { return Tenant{EgressTenantSpec: EgressTenantSpec{Proxy: &TenantProxy{}}} }
	var visit func(reflect.Type, []int, string)
	visit = func(parent reflect.Type, index []int, path string) {
		for field := range parent.Fields() {
			at := append(append([]int(nil), index...), field.Index...)
			name := path + field.Name
			if field.Type.Kind() == reflect.Struct {
				visit(field.Type, at, name+".")
				continue
			}
			if field.Type == reflect.TypeFor[*TenantProxy]() {
				visit(field.Type.Elem(), at, name+".")
				if withProxy().Revision() == (Tenant{}).Revision() {
					t.Errorf("%s: does not count for the revision", name)
				}
				continue
			}
			changed := withProxy()
			setAnything(t, reflect.ValueOf(&changed).Elem().FieldByIndex(at), name)
			if counts := changed.Revision() != withProxy().Revision(); counts == unseen[name] {
				t.Errorf("%s: counts for the revision: %t", name, counts)
			}
		}
	}
	visit(reflect.TypeFor[Tenant](), nil, "")
}

// setAnything sets a field to a value that is not its zero value.
func setAnything(t *testing.T, field reflect.Value, name string) {
	t.Helper()
	switch {
	case field.CanInt():
		field.SetInt(1)
	case field.Kind() == reflect.String:
		field.SetString("other")
	case field.Kind() == reflect.Bool:
		field.SetBool(true)
	case field.Kind() == reflect.Slice:
		field.Set(reflect.MakeSlice(field.Type(), 1, 1))
	case field.Kind() == reflect.Pointer:
		field.Set(reflect.New(field.Type().Elem()))
	default:
		t.Fatalf("%s: this test does not know fields of type %s", name, field.Type())
	}
}
