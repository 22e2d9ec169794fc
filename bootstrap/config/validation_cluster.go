package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// namedRange is a range of addresses with the path of the field that sets it.
type namedRange struct {
	prefix netip.Prefix
	path   string
}

// ranges returns the ranges of the cluster that are known and valid.
func (c *Cluster) ranges() []namedRange {
	if c == nil {
		return nil
	}
	ranges := []namedRange{{c.PodCIDR, "spec.cluster.podCIDR"}, {c.ServiceCIDR, "spec.cluster.serviceCIDR"}}
	for i, cidr := range c.CIDRs {
		ranges = append(ranges, namedRange{cidr, fmt.Sprintf("spec.cluster.cidrs[%d]", i)})
	}
	return slices.DeleteFunc(ranges, func(r namedRange) bool { return !r.prefix.IsValid() })
}

func (s *Spec) validateCluster(at *field.Path) field.ErrorList {
	c := s.Cluster
	var errs field.ErrorList
	switch {
	case c.ID != "":
		errs = append(errs, validateID(c.ID, at.Child("id"))...)
		errs = append(errs, c.refuse(at, "applies to clusters that bootstrap creates, not to an existing one (spec.cluster.id): remove it", "pools")...)
	case len(c.CIDRs) > 0:
		errs = append(errs, validateUnmanaged(c.CIDRs, at.Child("cidrs"))...)
		errs = append(errs, c.refuse(at, "applies to clusters that bootstrap creates or adds pools to, not to an unmanaged one (spec.cluster.cidrs): remove it", "cidrs")...)
	default:
		errs = append(errs, c.validateCreated(at)...)
	}
	return append(errs, s.validatePools(at.Child("pools"))...)
}

// refuse refuses all fields that are set, except the ID and one more.
func (c *Cluster) refuse(at *field.Path, reason, except string) field.ErrorList {
	var errs field.ErrorList
	for _, each := range []struct {
		name string
		set  bool
	}{
		{"cidrs", len(c.CIDRs) > 0},
		{"version", c.Version != ""},
		{"cni", c.CNI != ""},
		{"podCIDR", c.PodCIDR.IsValid()},
		{"serviceCIDR", c.ServiceCIDR.IsValid()},
		{"acl", len(c.ACL) > 0},
		{"autoUpgrade", c.AutoUpgrade != nil},
		{"autoscaler", c.Autoscaler != nil},
		{"pools", len(c.Pools) > 0},
	} {
		if each.set && each.name != except {
			errs = append(errs, field.Forbidden(at.Child(each.name), reason))
		}
	}
	return errs
}

// validateUnmanaged validates the ranges of a cluster that bootstrap does not
// manage. Both address families are accepted: the ranges only reach the chart,
// which excludes them from the proxy.
func validateUnmanaged(cidrs []netip.Prefix, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, cidr := range cidrs {
		switch {
		case cidr.Bits() == 0:
			errs = append(errs, field.Invalid(at.Index(i), cidr.String(), "must not be all addresses: no request would use the proxy"))
		case slices.Contains(cidrs[:i], cidr):
			errs = append(errs, field.Duplicate(at.Index(i), cidr.String()))
		}
	}
	return errs
}

func (c *Cluster) validateCreated(at *field.Path) field.ErrorList {
	errs := validateVersion(c.Version, at.Child("version"))
	errs = append(errs, validateOneOf(c.CNI, at.Child("cni"), "cilium", "cilium_native", "calico", "none")...)
	errs = append(errs, c.validateRanges(at)...)
	errs = append(errs, validateIPv4CIDRs(c.ACL, at.Child("acl"), func(netip.Prefix) string { return "" })...)
	if c.AutoUpgrade != nil {
		errs = append(errs, c.AutoUpgrade.validate(at.Child("autoUpgrade"))...)
	}
	if c.Autoscaler != nil {
		errs = append(errs, c.Autoscaler.validate(at.Child("autoscaler"))...)
	}
	switch {
	case len(c.Pools) == 0:
		errs = append(errs, field.Required(at.Child("pools"),
			"at least one, for the pods of the cluster itself; or set spec.cluster.id for an existing cluster, or spec.cluster.cidrs for an unmanaged one"))
	case !slices.ContainsFunc(c.Pools, Pool.isOpen):
		errs = append(errs, field.Invalid(at.Child("pools"), len(c.Pools),
			"must have one without tenant and without taints NoSchedule and NoExecute: the pods of the cluster itself (DNS, for example) and the webhook run there"))
	}
	return errs
}

// validateVersion accepts the form of a version, or none. Which versions there are is
// Scaleway's.
func validateVersion(version string, at *field.Path) field.ErrorList {
	switch without := strings.TrimPrefix(version, "v"); {
	case version == "", versionForm.MatchString(version):
		return nil
	case versionForm.MatchString(without):
		return field.ErrorList{field.Invalid(at, version, "must have no v before it: write \""+without+"\"")}
	default:
		return field.ErrorList{field.Invalid(at, version, "must be a version of Kubernetes, X.Y.Z, or X.Y for its newest patch; leave it out for the newest version")}
	}
}

func (c *Cluster) validateRanges(at *field.Path) field.ErrorList {
	errs := validateRange(c.PodCIDR, at.Child("podCIDR"))
	serviceErrs := validateRange(c.ServiceCIDR, at.Child("serviceCIDR"))
	if len(errs) == 0 && len(serviceErrs) == 0 && c.PodCIDR.Overlaps(c.ServiceCIDR) {
		errs = append(errs, field.Invalid(at.Child("serviceCIDR"), c.ServiceCIDR.String(), "must not overlap with "+c.PodCIDR.String()+", spec.cluster.podCIDR"))
	}
	return append(errs, serviceErrs...)
}

func validateRange(prefix netip.Prefix, at *field.Path) field.ErrorList {
	switch {
	case !prefix.IsValid():
		return field.ErrorList{field.Required(at, "a CIDR such as 10.32.0.0/20")}
	case !prefix.Addr().Is4():
		return field.ErrorList{field.Invalid(at, prefix.String(), "must be IPv4")}
	case !isPrivate(prefix) && !covers(sharedRange, prefix):
		return field.ErrorList{field.Invalid(at, prefix.String(), "must be private: in 10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12 or 192.168.0.0/16")}
	}
	return nil
}

func (a *AutoUpgrade) validate(at *field.Path) field.ErrorList {
	errs := validateOneOf(a.Day, at.Child("day"), "any", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
	if a.StartHour < 0 || a.StartHour > 23 {
		errs = append(errs, field.Invalid(at.Child("startHour"), a.StartHour, "must be between 0 and 23"))
	}
	return errs
}

func (a *Autoscaler) validate(at *field.Path) field.ErrorList {
	errs := validateOneOf(a.Expander, at.Child("expander"), "random", "most_pods", "least_waste", "priority", "price")
	for _, each := range []struct{ name, value string }{
		{"scaleDownDelayAfterAdd", a.ScaleDownDelayAfterAdd},
		{"scaleDownUnneededTime", a.ScaleDownUnneededTime},
	} {
		if duration, err := time.ParseDuration(each.value); err != nil || duration < 0 {
			errs = append(errs, field.Invalid(at.Child(each.name), each.value, "must be a duration such as 10m or 1h30m"))
		}
	}
	return errs
}
