package v1alpha1

import (
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/policy"
)

const (
	// maxAllowDomains bounds a tenant's list: the lists of all tenants together
	// must fit into the Instance's user data.
	maxAllowDomains = 1000
	// maxAllowPorts bounds a tenant's list.
	maxAllowPorts = 16
)

// AllowSpec lists the hosts and ports that a tenant may reach through the proxy.
// Private addresses, and the ports of mail and DNS, are forbidden in every mode.
//
// +kubebuilder:object:generate=true
// +kubebuilder:validation:XValidation:rule="self.mode != 'Open' || !has(self.domains) || size(self.domains) == 0",message="domains must be empty in mode Open, which allows every public host"
// +kubebuilder:validation:XValidation:rule="self.mode != 'Enforce' || (has(self.domains) && size(self.domains) > 0)",message="domains must not be empty in mode Enforce: nothing would be allowed"
type AllowSpec struct {
	// mode selects the treatment of requests that the list does not cover: Enforce
	// denies them; Report lets them pass and logs that Enforce would have denied
	// them; Open has no domains and allows every public host.
	//
	// +kubebuilder:validation:Enum=Enforce;Report;Open
	// +kubebuilder:default=Enforce
	// +optional
	Mode policy.Mode `json:"mode,omitempty"`

	// domains are the names that the tenant may request: api.example.com covers
	// itself alone, .example.com covers example.com and all names below it. At most
	// 1000; at least one with Enforce, none with Open. Addresses, ports, asterisks
	// and public suffixes (.com, .co.uk) are not valid. A request by IP address is
	// never covered.
	//
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:items:Pattern=`^[^\s,*"'\\/:#@%]+$`
	// +listType=set
	// +optional
	Domains []string `json:"domains,omitempty"`

	// ports are the ports that the tenant may request, by plain HTTP and by tunnels
	// (CONNECT), at most 16; 80 and 443 by default. The ports of mail (25, 465, 587)
	// and DNS (53) are forbidden.
	//
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Minimum=1
	// +kubebuilder:validation:items:Maximum=65535
	// +kubebuilder:validation:items:XValidation:rule="!(self in [25, 53, 465, 587])",message="must not be a port of mail or DNS, which are forbidden to every tenant"
	// +listType=set
	// +optional
	Ports []int32 `json:"ports,omitempty"`
}

func (a *AllowSpec) validate(path *field.Path) field.ErrorList {
	if a == nil {
		return nil
	}
	var errs field.ErrorList
	switch domains := path.Child("domains"); a.Mode {
	case "", policy.ModeEnforce:
		if len(a.Domains) == 0 {
			errs = append(errs, field.Required(domains, "mode Enforce without domains allows nothing: list domains, or use mode Report to log the requests first"))
		}
	case policy.ModeReport:
	case policy.ModeOpen:
		if len(a.Domains) > 0 {
			errs = append(errs, field.Forbidden(domains, "must be empty in mode Open, which allows every public host"))
		}
	default:
		errs = append(errs, field.NotSupported(path.Child("mode"), a.Mode, []policy.Mode{policy.ModeEnforce, policy.ModeReport, policy.ModeOpen}))
	}
	errs = append(errs, validateDomains(a.Domains, path.Child("domains"))...)
	return append(errs, validatePorts(a.Ports, path.Child("ports"))...)
}

func validateDomains(domains []string, path *field.Path) field.ErrorList {
	if len(domains) > maxAllowDomains {
		return field.ErrorList{field.TooMany(path, len(domains), maxAllowDomains)}
	}
	var errs field.ErrorList
	seen := make(map[policy.Domain]bool, len(domains))
	for i, text := range domains {
		domain, err := policy.ParseDomain(text)
		switch {
		case err != nil:
			errs = append(errs, field.Invalid(path.Index(i), text, err.Error()))
		case seen[domain]:
			errs = append(errs, field.Duplicate(path.Index(i), text))
		default:
			seen[domain] = true
		}
	}
	return errs
}

func validatePorts(ports []int32, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(ports) > maxAllowPorts {
		errs = append(errs, field.TooMany(path, len(ports), maxAllowPorts))
	}
	for i, port := range ports {
		at := path.Index(i)
		switch {
		case port < 1 || port > 65535:
			errs = append(errs, field.Invalid(at, port, "must be between 1 and 65535"))
		case slices.Contains(policy.ForbiddenPorts(), uint16(port)):
			errs = append(errs, field.Invalid(at, port, "must not be "+strconv.Itoa(int(port))+": mail and DNS are forbidden to every tenant"))
		case slices.Contains(ports[:i], port):
			errs = append(errs, field.Duplicate(at, port))
		}
	}
	return errs
}

// AllowList returns the tenant's allow list in normal form. A tenant without one
// has mode Open on ports 80 and 443. The tenant must be valid: invalid entries are
// dropped, which allows fewer requests, never more.
func (s *EgressTenantSpec) AllowList() policy.List {
	list := policy.List{Mode: policy.ModeOpen, Ports: []uint16{policy.PortHTTP, policy.PortTLS}}
	if s.Allow == nil {
		return list
	}
	list.Mode = policy.ModeEnforce
	if s.Allow.Mode != "" {
		list.Mode = s.Allow.Mode
	}
	var domains []policy.Domain
	for _, text := range s.Allow.Domains {
		if domain, err := policy.ParseDomain(text); err == nil {
			domains = append(domains, domain)
		}
	}
	list.Domains = policy.MergeDomains(domains)
	if len(s.Allow.Ports) == 0 {
		return list
	}
	list.Ports = nil
	for _, port := range s.Allow.Ports {
		if port >= 1 && port <= 65535 {
			list.Ports = append(list.Ports, uint16(port))
		}
	}
	slices.Sort(list.Ports)
	list.Ports = slices.Compact(list.Ports)
	return list
}

// allowSpecOf converts a list to the one AllowSpec that represents it, nil for the
// list of a tenant without spec.allow.
func allowSpecOf(l policy.List) *AllowSpec {
	if l.Mode == policy.ModeOpen && slices.Equal(l.Ports, []uint16{policy.PortHTTP, policy.PortTLS}) {
		return nil
	}
	spec := &AllowSpec{Mode: l.Mode}
	for _, domain := range l.Domains {
		spec.Domains = append(spec.Domains, domain.String())
	}
	for _, port := range l.Ports {
		spec.Ports = append(spec.Ports, int32(port))
	}
	return spec
}
