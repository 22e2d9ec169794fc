package config

import (
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/cloudinit"
	"egress.scw/webhook/api/v1alpha1"
)

// Validate returns everything that is wrong with an Egress whose defaults are
// set, each error with its path. It does not check facts that only Scaleway has
// (existing zones, types and versions, quotas), nor apiVersion and kind, which
// Load checks.
func (e *Egress) Validate() field.ErrorList {
	errs := validateStackName(e.Metadata.Name, field.NewPath("metadata", "name"))
	return append(errs, e.Spec.validate(field.NewPath("spec"))...)
}

func (s *Spec) validate(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Project != "" {
		errs = append(errs, validateID(s.Project, at.Child("project"))...)
	}
	errs = append(errs, s.validatePlace(at)...)
	errs = append(errs, s.validateNetwork(at.Child("network"))...)
	errs = append(errs, s.validateGateway(at.Child("gateway"))...)
	errs = append(errs, s.validateProxy(at.Child("proxy"))...)
	if s.Cluster != nil {
		errs = append(errs, s.validateCluster(at.Child("cluster"))...)
	}
	if s.Registry != nil {
		errs = append(errs, validateLabel(s.Registry.Name, at.Child("registry", "name"))...)
	}
	errs = append(errs, v1alpha1.ValidateTenants(s.Tenants, at.Child("tenants"))...)
	errs = append(errs, s.requireGateway(at.Child("tenants"))...)
	errs = append(errs, validateSidecars(s.Tenants, s.Proxy.Identity, at.Child("tenants"))...)
	if s.Proxy.SourceAddress == cloudinit.SourceGateway {
		errs = append(errs, refuseDedicated(s.Tenants, at.Child("tenants"))...)
	}
	return append(errs, s.Outputs.validate(at.Child("outputs"))...)
}

// Forms of names and IDs. Scaleway decides whether they exist.
var (
	idForm          = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	regionForm      = regexp.MustCompile(`^[a-z]{2}-[a-z]{3}$`)
	zoneForm        = regexp.MustCompile(`^[a-z]{2}-[a-z]{3}-[1-9][0-9]?$`)
	typeForm        = regexp.MustCompile(`^[A-Z0-9]+(-[A-Z0-9]+)*$`)
	gatewayTypeForm = regexp.MustCompile(`^VPC-GW(-[A-Z0-9]+)+$`)
	imageForm       = regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)*$`)
	versionForm     = regexp.MustCompile(`^[1-9][0-9]*\.[0-9]+(\.[0-9]+)?$`)
)

// maxStackName is the maximum length of the name of a stack. The names of
// resources add up to 31 characters to it; Scaleway and host names accept 63.
const maxStackName = 32

func validateStackName(name string, at *field.Path) field.ErrorList {
	errs := validateLabel(name, at)
	if len(name) > maxStackName {
		errs = append(errs, field.TooLong(at, name, maxStackName))
	}
	return errs
}

// validateLabel requires a DNS label.
func validateLabel(name string, at *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, "a DNS label, such as client-a")}
	}
	return problemsOf(name, validation.IsDNS1123Label(name), at)
}

func validateID(id string, at *field.Path) field.ErrorList {
	if idForm.MatchString(id) {
		return nil
	}
	return field.ErrorList{field.Invalid(at, id,
		"must be a UUID in lower case, such as 11111111-2222-3333-4444-555555555555, without the region that some tools put before it")}
}

func (s *Spec) validatePlace(at *field.Path) field.ErrorList {
	errs := s.validateZone(s.Zone, at.Child("zone"))
	if s.Region != "" && !regionForm.MatchString(s.Region) {
		errs = append(errs, field.Invalid(at.Child("region"), s.Region, "must be a region such as fr-par"))
	}
	return errs
}

// validateZone requires a zone in the region.
func (s *Spec) validateZone(zone string, at *field.Path) field.ErrorList {
	switch {
	case zone == "":
		return field.ErrorList{field.Required(at, "a zone such as fr-par-1")}
	case !zoneForm.MatchString(zone):
		return field.ErrorList{field.Invalid(at, zone, "must be a zone such as fr-par-1")}
	case regionForm.MatchString(s.Region) && regionOf(zone) != s.Region:
		return field.ErrorList{field.Invalid(at, zone, "must be in the region "+s.Region+", like network and cluster")}
	}
	return nil
}

// validateType requires the name of a commercial type.
func validateType(name string, at *field.Path) field.ErrorList {
	upper := strings.ToUpper(strings.ReplaceAll(name, "_", "-"))
	switch {
	case name == "":
		return field.ErrorList{field.Required(at, "a commercial type such as PRO2-XXS")}
	case typeForm.MatchString(name):
		return nil
	case typeForm.MatchString(upper):
		return field.ErrorList{field.Invalid(at, name, "must be in upper case with dashes: write "+upper)}
	}
	return field.ErrorList{field.Invalid(at, name, "must be a commercial type such as PRO2-XXS")}
}

// requireGateway refuses tenants of path Gateway where their traffic does not leave
// by a gateway. An existing network may have one that bootstrap does not manage.
func (s *Spec) requireGateway(at *field.Path) field.ErrorList {
	off := s.Gateway.off()
	if off == "" || !s.Network.CIDR.IsValid() {
		return nil
	}
	var errs field.ErrorList
	for i, tenant := range s.Tenants {
		if tenant.Path == v1alpha1.PathGateway {
			errs = append(errs, field.Invalid(at.Index(i).Child("path"), tenant.Path,
				"must be Proxy while spec.gateway."+off+" is false: the tenant's traffic would not leave the network"))
		}
	}
	return errs
}

// refuseDedicated refuses dedicated addresses of tenants where the proxy has no
// flexible IPs that requests leave by.
func refuseDedicated(tenants []v1alpha1.Tenant, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, tenant := range tenants {
		if tenant.HasDedicatedIP() {
			errs = append(errs, field.Invalid(at.Index(i).Child("proxy", "egressIP"), tenant.Proxy.EgressIP,
				"must be Shared with spec.proxy.sourceAddress Gateway: all requests leave by the address of the gateway"))
		}
	}
	return errs
}

func (o *Outputs) validate(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, output := range o.files() {
		if base := filepath.Base(output.file); strings.HasSuffix(output.file, "/") || base == "." || base == ".." {
			errs = append(errs, field.Invalid(at.Child(output.name), output.file, "must be the path of a file"))
		}
		if strings.HasPrefix(output.file, "~") || strings.HasPrefix(output.file, "$") {
			errs = append(errs, field.Invalid(at.Child(output.name), output.file, "must not begin with ~ or $, which only shells replace: write the whole path, or one from the folder of egress.yaml on"))
		}
	}
	for i, output := range o.files() {
		for _, other := range o.files()[:i] {
			if filepath.Clean(output.file) == filepath.Clean(other.file) {
				errs = append(errs, field.Invalid(at.Child(output.name), output.file, "must be another file than spec.outputs."+other.name))
			}
		}
	}
	return errs
}

// validateAgainst refuses outputs that would overwrite the configuration file, and those
// that would overwrite each other from its folder on.
func (o *Outputs) validateAgainst(config string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	folder := filepath.Dir(config)
	for i, output := range o.files() {
		file := absolute(folder, output.file)
		if file == absolute("", config) {
			errs = append(errs, field.Invalid(at.Child(output.name), output.file, "must be another file than this one"))
		}
		for _, other := range o.files()[:i] {
			// validate has found the same path.
			if file == absolute(folder, other.file) && filepath.Clean(output.file) != filepath.Clean(other.file) {
				errs = append(errs, field.Invalid(at.Child(output.name), output.file, "must be another file than spec.outputs."+other.name))
			}
		}
	}
	return errs
}

// absolute returns the path from the root of a file that is named from a folder on. It
// stays relative in a process whose own folder is gone.
func absolute(folder, file string) string {
	if !filepath.IsAbs(file) {
		file = filepath.Join(folder, file)
	}
	if whole, err := filepath.Abs(file); err == nil {
		return whole
	}
	return filepath.Clean(file)
}

type outputFile struct{ name, file string }

func (o *Outputs) files() []outputFile {
	return []outputFile{{"kubeconfig", o.Kubeconfig}, {"values", o.Values}, {"knownHosts", o.KnownHosts}}
}

// validateIPv4CIDRs requires different IPv4 ranges in which check finds no
// problem.
func validateIPv4CIDRs(cidrs []netip.Prefix, at *field.Path, check func(netip.Prefix) string) field.ErrorList {
	var errs field.ErrorList
	seen := map[netip.Prefix]bool{}
	for i, cidr := range cidrs {
		problem := "must be IPv4"
		if cidr.Addr().Is4() {
			problem = check(cidr)
		}
		switch {
		case problem != "":
			errs = append(errs, field.Invalid(at.Index(i), cidr.String(), problem))
		case seen[cidr]:
			errs = append(errs, field.Duplicate(at.Index(i), cidr.String()))
		}
		seen[cidr] = true
	}
	return errs
}

// validateOneOf requires one of a few strings.
func validateOneOf(value string, at *field.Path, values ...string) field.ErrorList {
	if slices.Contains(values, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(at, value, values)}
}

// problemsOf turns the results of Kubernetes' own checks into errors.
func problemsOf(value string, problems []string, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, problem := range problems {
		errs = append(errs, field.Invalid(at, value, problem))
	}
	return errs
}
