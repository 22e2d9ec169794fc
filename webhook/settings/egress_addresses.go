package settings

import (
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/v1alpha1"
)

// EgressAddresses are the source addresses of the tenants' requests, as
// bootstrap published them. The zero value has none.
type EgressAddresses struct {
	// Shared are the addresses of all tenants without an address of their own,
	// distinct, in the order of the file.
	Shared []netip.Addr
	// Dedicated are the addresses of single tenants, by the tenant's name: one for each
	// machine of the proxy. An address occurs once in Shared and Dedicated together.
	Dedicated map[string][]netip.Addr
	// Gateway are the addresses of the Public Gateway, distinct, in the order of
	// the file. With sourceAddress Gateway the proxy's requests leave by them too.
	Gateway []netip.Addr
}

// Of returns the source addresses of the tenant's requests. It is empty if none
// was published for the tenant.
func (a EgressAddresses) Of(tenant *v1alpha1.EgressTenant) []netip.Addr {
	if !tenant.Spec.IsProxied() {
		return a.Gateway
	}
	if !tenant.Spec.HasDedicatedIP() {
		return a.Shared
	}
	return a.Dedicated[tenant.Name]
}

func (p *parser) egressAddresses(f FileEgressAddresses, path *field.Path) EgressAddresses {
	result := EgressAddresses{Dedicated: make(map[string][]netip.Addr, len(f.Dedicated))}
	taken := sets.New[netip.Addr]()
	unique := func(text string, at *field.Path) (netip.Addr, bool) {
		address, ok := p.address(text, at, nil)
		if ok && taken.Has(address) {
			p.add(field.Duplicate(at, text))
			return address, false
		}
		taken.Insert(address)
		return address, ok
	}
	for i, text := range f.Shared {
		if address, ok := unique(text, path.Child("shared").Index(i)); ok {
			result.Shared = append(result.Shared, address)
		}
	}
	for _, tenant := range slices.Sorted(maps.Keys(f.Dedicated)) {
		at := path.Child("dedicated").Key(tenant)
		if len(validation.IsDNS1123Label(tenant)) > 0 {
			p.add(field.Invalid(at, tenant, "must be the name of an EgressTenant"))
		}
		for i, text := range f.Dedicated[tenant] {
			if address, ok := unique(text, at.Index(i)); ok {
				result.Dedicated[tenant] = append(result.Dedicated[tenant], address)
			}
		}
	}
	for i, text := range f.Gateway {
		at := path.Child("gateway").Index(i)
		address, ok := p.address(text, at, nil)
		switch {
		case ok && slices.Contains(result.Gateway, address):
			p.add(field.Duplicate(at, text))
		case ok:
			result.Gateway = append(result.Gateway, address)
		}
	}
	return result
}
