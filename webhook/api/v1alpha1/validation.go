package v1alpha1

import (
	"fmt"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/noproxy"
)

// Validate returns all errors of the tenant, each with its field path. The API
// server's schema finds most of them earlier; Validate finds all of them.
func (t *EgressTenant) Validate() field.ErrorList {
	errs := validateName(t.Name, field.NewPath("metadata", "name"))
	return append(errs, t.Spec.validate(field.NewPath("spec"))...)
}

// ValidateTenants returns all errors of the tenants of one proxy: those of each
// tenant, names and ports that two tenants share, and dedicated addresses beyond
// MaxDedicatedAddresses.
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
		taken[tenant.Name] = true
		if tenant.Proxy == nil {
			continue
		}
		if ports[tenant.Proxy.Port] {
			errs = append(errs, field.Duplicate(at.Child("proxy", "port"), tenant.Proxy.Port))
		}
		ports[tenant.Proxy.Port] = true
		if !tenant.HasDedicatedIP() {
			continue
		}
		if dedicated++; dedicated > MaxDedicatedAddresses {
			errs = append(errs, field.Invalid(at.Child("proxy", "egressIP"), tenant.Proxy.EgressIP,
				"must be "+string(EgressIPShared)+": a proxy has dedicated addresses for at most "+strconv.Itoa(MaxDedicatedAddresses)+" tenants"))
		}
	}
	return errs
}

// validateName requires a DNS label, which the names of namespaces are. The name
// of a tenant is the value of a namespace's label, and the name of Squid's ACLs.
func validateName(name string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, problem := range validation.IsDNS1123Label(name) {
		errs = append(errs, field.Invalid(path, name, problem))
	}
	return errs
}

func (s *EgressTenantSpec) validate(path *field.Path) field.ErrorList {
	errs := s.validatePath(path)
	errs = append(errs, s.Proxy.validate(path.Child("proxy"))...)
	errs = append(errs, s.Allow.validate(path.Child("allow"))...)
	errs = append(errs, validateNoProxy(s.NoProxy, path.Child("noProxy"))...)
	errs = append(errs, ValidateRuntimes(s.Runtimes, path.Child("runtimes"))...)
	errs = append(errs, s.Sidecar.validate(path.Child("sidecar"))...)
	errs = append(errs, s.validateDNS(path.Child("dns"))...)
	errs = append(errs, validateClusterAccess(s.ClusterAccess, path.Child("clusterAccess"))...)
	errs = append(errs, s.validateIngress(path)...)
	return append(errs, s.NodePool.validate(path.Child("nodePool"))...)
}

// validatePath checks the path, and that only the fields of this path are set.
func (s *EgressTenantSpec) validatePath(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch s.Path {
	case "", PathProxy:
		if s.Proxy == nil {
			errs = append(errs, field.Required(path.Child("proxy"), "path Proxy needs a port of the proxy: set proxy.port"))
		}
	case PathGateway:
		for _, unused := range []struct {
			name string
			set  bool
			why  string
		}{
			{"proxy", s.Proxy != nil, "must not be set with path Gateway, which does not use the proxy, and has no address of the tenant's own"},
			{"allow", s.Allow != nil, "must not be set with path Gateway: only the proxy filters by domain"},
			{"noProxy", len(s.NoProxy) > 0, "must not be set with path Gateway, which does not use the proxy"},
			{"runtimes", len(s.Runtimes) > 0, "must not be set with path Gateway, which does not use the proxy"},
			{"sidecar", s.Sidecar != nil, "must not be set with path Gateway, which does not use the proxy"},
			{"dns", s.DNS == DNSClosed, "must not be Closed with path Gateway: pods resolve the names of public hosts themselves"},
		} {
			if unused.set {
				errs = append(errs, field.Forbidden(path.Child(unused.name), unused.why))
			}
		}
	default:
		errs = append(errs, field.NotSupported(path.Child("path"), s.Path, []Path{PathProxy, PathGateway}))
	}
	return errs
}

func validateNoProxy(list []string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(list) > maxNoProxy {
		errs = append(errs, field.TooMany(path, len(list), maxNoProxy))
	}
	seen := make(map[noproxy.Entry]bool, len(list))
	for i, text := range list {
		at := path.Index(i)
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

func (s *EgressTenantSpec) validateIngress(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch s.Ingress {
	case "", IngressOpen, IngressTenant:
	default:
		errs = append(errs, field.NotSupported(path.Child("ingress"), s.Ingress, []Ingress{IngressOpen, IngressTenant}))
	}
	from := path.Child("ingressFrom")
	if len(s.IngressFrom) > 0 && s.Ingress != IngressTenant {
		errs = append(errs, field.Forbidden(from, "has no effect unless ingress is Tenant"))
	}
	if len(s.IngressFrom) > maxIngressFrom {
		errs = append(errs, field.TooMany(from, len(s.IngressFrom), maxIngressFrom))
	}
	for i, namespace := range s.IngressFrom {
		errs = append(errs, validateName(namespace, from.Index(i))...)
		if slices.Contains(s.IngressFrom[:i], namespace) {
			errs = append(errs, field.Duplicate(from.Index(i), namespace))
		}
	}
	return errs
}

func (p *TenantProxy) validate(path *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	var errs field.ErrorList
	if p.Port < names.TenantPortMin || p.Port > names.TenantPortMax {
		errs = append(errs, field.Invalid(path.Child("port"), p.Port,
			"must be between "+strconv.Itoa(names.TenantPortMin)+" and "+strconv.Itoa(names.TenantPortMax)+", the range that the proxy's firewall opens"))
	}
	switch p.EgressIP {
	case "", EgressIPShared, EgressIPDedicated:
	default:
		errs = append(errs, field.NotSupported(path.Child("egressIP"), p.EgressIP, []EgressIP{EgressIPShared, EgressIPDedicated}))
	}
	// 0 stands for a field that is not set: the API server's schema and the
	// reader of egress.yaml refuse it as a value.
	if b := p.BandwidthKiB; b != 0 && (b < BandwidthMin || b > BandwidthMax) {
		errs = append(errs, field.Invalid(path.Child("bandwidthKiB"), b, fmt.Sprintf("must be between %d and %d", BandwidthMin, BandwidthMax)))
	}
	return errs
}

// maxNoProxy bounds a tenant's entries of NO_PROXY, which altogether has at most
// noproxy.MaxBytes.
const maxNoProxy = 64
