package controller

import (
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/v1alpha1"
)

// EgressAddresses are the addresses that requests leave the proxy by, as
// whoever provisions the proxy publishes them. The zero value has none.
type EgressAddresses struct {
	shared    []string
	dedicated map[string]string // by the tenant's name
}

// ParseEgressAddresses reads addresses as the webhook's flags bring them:
// ADDRESS for one that all tenants leave by who have none of their own,
// TENANT=ADDRESS for one tenant's own. An address stands there once, and a
// tenant has at most one. The error names every one that is wrong by its place
// in egressAddresses.
func ParseEgressAddresses(texts []string) (EgressAddresses, error) {
	result := EgressAddresses{dedicated: map[string]string{}}
	var errs field.ErrorList
	taken := make(map[string]bool, len(texts))
	for i, text := range texts {
		at := field.NewPath("egressAddresses").Index(i)
		tenant, written, isDedicated := strings.Cut(text, "=")
		if !isDedicated {
			written = text
		}
		address, err := netip.ParseAddr(written)
		normal := address.Unmap().String()
		switch {
		case err != nil || address.Zone() != "" || !address.Unmap().IsGlobalUnicast():
			errs = append(errs, field.Invalid(at, text, "must be an IP address that requests leave the proxy by, or a tenant's name and one: client-a=203.0.113.51"))
		case isDedicated && len(validation.IsDNS1123Label(tenant)) > 0:
			errs = append(errs, field.Invalid(at, text, "must begin with the name of an EgressTenant"))
		case taken[normal] || isDedicated && result.dedicated[tenant] != "":
			errs = append(errs, field.Duplicate(at, text))
		case isDedicated:
			result.dedicated[tenant] = normal
		default:
			result.shared = append(result.shared, normal)
		}
		taken[normal] = true
	}
	if len(errs) > 0 {
		return EgressAddresses{}, errs.ToAggregate()
	}
	return result, nil
}

// Of returns the addresses that the tenant's requests leave by; none if none
// was published for it.
func (a EgressAddresses) Of(tenant *v1alpha1.EgressTenant) []string {
	if tenant.Spec.Proxy.EgressIP != v1alpha1.EgressIPDedicated {
		return a.shared
	}
	if own, ok := a.dedicated[tenant.Name]; ok {
		return []string{own}
	}
	return nil
}
