package v1alpha1

import (
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// privateRanges are the addresses that clusterAccess may open: private ones
// (RFC 1918, RFC 4193) and the shared address space (RFC 6598), which clouds use
// for pods. Link-local addresses are missing: the metadata service of the cloud is
// among them.
var privateRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("fc00::/7"),
}

func validateClusterAccess(list []ClusterAccess, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(list) > maxClusterAccess {
		errs = append(errs, field.TooMany(path, len(list), maxClusterAccess))
	}
	for i := range list {
		errs = append(errs, list[i].validate(path.Index(i))...)
	}
	return errs
}

func (a *ClusterAccess) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	kinds := 0
	for _, set := range []bool{a.Namespace != "", a.CIDR != "", a.APIServer} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		errs = append(errs, field.Invalid(path, kinds, "must name one destination: exactly one of namespace, cidr and apiServer: true"))
	}
	if a.Namespace != "" {
		errs = append(errs, validateName(a.Namespace, path.Child("namespace"))...)
	}
	if len(a.PodLabels) > 0 && a.Namespace == "" {
		errs = append(errs, field.Forbidden(path.Child("podLabels"), "select pods of a namespace: set namespace"))
	}
	errs = append(errs, validateLabels(a.PodLabels, maxPodLabels, path.Child("podLabels"))...)
	if a.CIDR != "" {
		errs = append(errs, validatePrivate(a.CIDR, path.Child("cidr"))...)
	}
	ports := path.Child("ports")
	switch {
	case a.APIServer && len(a.Ports) > 0:
		errs = append(errs, field.Forbidden(ports, "must not be set for the API server, whose port is known"))
	case !a.APIServer && len(a.Ports) == 0:
		errs = append(errs, field.Required(ports, "list the TCP ports of the destination"))
	case len(a.Ports) > maxAccessPorts:
		errs = append(errs, field.TooMany(ports, len(a.Ports), maxAccessPorts))
	}
	for i, port := range a.Ports {
		switch {
		case port < 1 || port > 65535:
			errs = append(errs, field.Invalid(ports.Index(i), port, "must be between 1 and 65535"))
		case slices.Contains(a.Ports[:i], port):
			errs = append(errs, field.Duplicate(ports.Index(i), port))
		}
	}
	return errs
}

// validatePrivate requires a range that is part of one of privateRanges.
func validatePrivate(text string, path *field.Path) field.ErrorList {
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return field.ErrorList{field.Invalid(path, text, "must be a CIDR, such as 172.16.28.20/32")}
	case prefix != prefix.Masked():
		return field.ErrorList{field.Invalid(path, text, "has host bits: write "+prefix.Masked().String())}
	case !slices.ContainsFunc(privateRanges, func(private netip.Prefix) bool {
		return private.Bits() <= prefix.Bits() && private.Contains(prefix.Addr())
	}):
		return field.ErrorList{field.Invalid(path, text, "must be a private range: public destinations are reached through the proxy, and link-local ones not at all")}
	}
	return nil
}

func validateLabels(labels map[string]string, most int, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(labels) > most {
		errs = append(errs, field.TooMany(path, len(labels), most))
	}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		for _, problem := range validation.IsQualifiedName(name) {
			errs = append(errs, field.Invalid(path.Key(name), name, problem))
		}
		for _, problem := range validation.IsValidLabelValue(labels[name]) {
			errs = append(errs, field.Invalid(path.Key(name), labels[name], problem))
		}
	}
	return errs
}

// IsValid reports whether the entry is valid. The API server's schema accepts some
// entries that are not, such as public ranges.
func (a *ClusterAccess) IsValid() bool { return len(a.validate(nil)) == 0 }

// Prefix returns the parsed cidr, the zero value without one.
func (a *ClusterAccess) Prefix() netip.Prefix {
	prefix, err := netip.ParsePrefix(a.CIDR)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// HasAPIServerAccess reports whether the tenant's pods may reach the API server.
func (s *EgressTenantSpec) HasAPIServerAccess() bool {
	return slices.ContainsFunc(s.ClusterAccess, func(a ClusterAccess) bool { return a.APIServer })
}
