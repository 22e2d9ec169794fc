package v1alpha1

import (
	"cmp"
	"regexp"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Resources of the sidecar without spec.sidecar.resources. An idle sidecar has some 10
// MiB in memory, and 16 KiB more for each idle tunnel.
const (
	defaultSidecarCPURequest    = "10m"
	defaultSidecarMemoryRequest = "16Mi"
	defaultSidecarMemoryLimit   = "64Mi"
)

// minSidecarMemory is the least memory limit of the sidecar. With less, it would be
// ended before its first connection.
const minSidecarMemory = "16Mi"

// Patterns of amounts, as in the schema.
var (
	cpuPattern    = regexp.MustCompile(`^([0-9]+([.][0-9]{1,3})?|[0-9]+m)$`)
	memoryPattern = regexp.MustCompile(`^[0-9]+(k|Ki|M|Mi|G|Gi)?$`)
)

// Longest amounts, as in the schema.
const (
	maxCPULength    = 8
	maxMemoryLength = 12
)

// ContainerResources returns the resources of the sidecar's container, defaults
// included. An empty amount is not set.
func (s *Sidecar) ContainerResources() SidecarResources {
	all := s.Resources
	all.Limits.Memory = cmp.Or(all.Limits.Memory, larger(defaultSidecarMemoryLimit, all.Requests.Memory))
	all.Requests.Memory = cmp.Or(all.Requests.Memory, defaultSidecarMemoryRequest)
	all.Requests.CPU = cmp.Or(all.Requests.CPU, smaller(defaultSidecarCPURequest, all.Limits.CPU))
	return all
}

// larger returns the larger amount, the first if the second is not valid.
func larger(a, b string) string {
	if isLess(a, b) {
		return b
	}
	return a
}

// smaller returns the smaller amount, the first if the second is not valid.
func smaller(a, b string) string {
	if isLess(b, a) {
		return b
	}
	return a
}

// isLess compares amounts. It is false if one is not valid.
func isLess(a, b string) bool {
	left, err := resource.ParseQuantity(a)
	if err != nil {
		return false
	}
	right, err := resource.ParseQuantity(b)
	return err == nil && left.Cmp(right) < 0
}

func (s *Sidecar) validate(path *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	var errs field.ErrorList
	switch s.Capture {
	case "", CaptureNone, CaptureNames:
	default:
		errs = append(errs, field.NotSupported(path.Child("capture"), s.Capture, []Capture{CaptureNone, CaptureNames}))
	}
	path = path.Child("resources")
	errs = append(errs, s.Resources.Requests.validate(path.Child("requests"))...)
	errs = append(errs, s.Resources.Limits.validate(path.Child("limits"))...)
	if len(errs) > 0 {
		return errs
	}
	all, limits := s.ContainerResources(), path.Child("limits")
	if isLess(all.Limits.CPU, all.Requests.CPU) {
		errs = append(errs, field.Invalid(limits.Child("cpu"), all.Limits.CPU, "must not be less than the request of "+all.Requests.CPU))
	}
	switch {
	case isLess(all.Limits.Memory, minSidecarMemory):
		errs = append(errs, field.Invalid(limits.Child("memory"), all.Limits.Memory, "must be at least "+minSidecarMemory))
	case isLess(all.Limits.Memory, all.Requests.Memory):
		errs = append(errs, field.Invalid(limits.Child("memory"), all.Limits.Memory, "must not be less than the request of "+all.Requests.Memory))
	}
	return errs
}

func (a ResourceAmounts) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if a.CPU != "" && (len(a.CPU) > maxCPULength || !cpuPattern.MatchString(a.CPU)) {
		errs = append(errs, field.Invalid(path.Child("cpu"), a.CPU, `must be a number of CPUs, such as "0.5" or 500m`))
	}
	if a.Memory != "" && (len(a.Memory) > maxMemoryLength || !memoryPattern.MatchString(a.Memory)) {
		errs = append(errs, field.Invalid(path.Child("memory"), a.Memory, "must be a number of bytes, such as 64Mi"))
	}
	return errs
}

func (s *EgressTenantSpec) validateDNS(path *field.Path) field.ErrorList {
	switch s.DNS {
	case "", DNSCluster, DNSClosed:
		return nil
	}
	return field.ErrorList{field.NotSupported(path, s.DNS, []DNS{DNSCluster, DNSClosed})}
}
