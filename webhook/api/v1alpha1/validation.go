package v1alpha1

import (
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/noproxy"
)

// Validate returns everything that is wrong with the tenant, each error with
// its path below the tenant. The API server's schema refuses most of it
// earlier; this is complete.
func (t *EgressTenant) Validate() field.ErrorList {
	errs := validateName(t.Name, field.NewPath("metadata", "name"))
	return append(errs, t.Spec.validate(field.NewPath("spec"))...)
}

// ValidateTenants returns everything that is wrong with a list of tenants,
// which are those of one proxy: ports and names that two of them share, and
// addresses that it has not for all who ask for one, included.
func ValidateTenants(tenants []Tenant, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	taken := make(map[string]bool, len(tenants))
	ports := make(map[int32]bool, len(tenants))
	dedicated := 0
	for i, tenant := range tenants {
		at := path.Index(i)
		errs = append(errs, validateName(tenant.Name, at.Child("name"))...)
		errs = append(errs, tenant.validate(at)...)
		if taken[tenant.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), tenant.Name))
		}
		if ports[tenant.Proxy.Port] {
			errs = append(errs, field.Duplicate(at.Child("proxy", "port"), tenant.Proxy.Port))
		}
		taken[tenant.Name], ports[tenant.Proxy.Port] = true, true
		if tenant.Proxy.EgressIP != EgressIPDedicated {
			continue
		}
		if dedicated++; dedicated > MaxDedicatedAddresses {
			errs = append(errs, field.Invalid(at.Child("proxy", "egressIP"), tenant.Proxy.EgressIP,
				"must be "+string(EgressIPShared)+": a proxy has addresses for "+strconv.Itoa(MaxDedicatedAddresses)+" tenants of their own"))
		}
	}
	return errs
}

// validateName demands a DNS label: the name is the value of a namespace's
// label, and the name of Squid's ACLs.
func validateName(name string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, problem := range validation.IsDNS1123Label(name) {
		errs = append(errs, field.Invalid(path, name, problem))
	}
	return errs
}

func (s *EgressTenantSpec) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Path != "" && s.Path != PathProxy {
		errs = append(errs, field.NotSupported(path.Child("path"), s.Path, []Path{PathProxy}))
	}
	if s.Proxy.Port < names.TenantPortMin || s.Proxy.Port > names.TenantPortMax {
		errs = append(errs, field.Invalid(path.Child("proxy", "port"), s.Proxy.Port,
			"must be between "+strconv.Itoa(names.TenantPortMin)+" and "+strconv.Itoa(names.TenantPortMax)+", the range that the proxy's firewall opens"))
	}
	switch s.Proxy.EgressIP {
	case "", EgressIPShared, EgressIPDedicated:
	default:
		errs = append(errs, field.NotSupported(path.Child("proxy", "egressIP"), s.Proxy.EgressIP, []EgressIP{EgressIPShared, EgressIPDedicated}))
	}
	if b := s.Proxy.BandwidthKiB; b != 0 && (b < BandwidthMin || b > BandwidthMax) {
		errs = append(errs, field.Invalid(path.Child("proxy", "bandwidthKiB"), b, fmt.Sprintf("must be between %d and %d", BandwidthMin, BandwidthMax)))
	}
	errs = append(errs, s.Allow.validate(path.Child("allow"))...)
	if len(s.NoProxy) > maxNoProxy {
		errs = append(errs, field.TooMany(path.Child("noProxy"), len(s.NoProxy), maxNoProxy))
	}
	seen := make(map[noproxy.Entry]bool, len(s.NoProxy))
	for i, text := range s.NoProxy {
		at := path.Child("noProxy").Index(i)
		entry, err := noproxy.Parse(text)
		switch {
		case err != nil:
			errs = append(errs, field.Invalid(at, text, err.Error()))
		case seen[entry]:
			errs = append(errs, field.Duplicate(at, text))
		default:
			seen[entry] = true
		}
	}
	return errs
}

// maxNoProxy bounds what a tenant adds to NO_PROXY, which as a whole is held
// to 4 KiB.
const maxNoProxy = 64

// Bounds of a tenant's bandwidth, in KiB a second. Below, Squid takes seconds for
// a page of its own; above, it can no longer count the bytes in 31 bits.
const (
	BandwidthMin = 16
	BandwidthMax = 1 << 20
)
