package config

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/names"
)

// The bounds of the boot volume of a node: Scaleway's minimum, and the maximum of its
// Terraform provider, 10 TB.
const (
	minPoolVolumeGB = 20
	maxPoolVolumeGB = 10000
)

// isOpen reports whether pods without tolerations can be scheduled to the pool.
func (p Pool) isOpen() bool {
	return p.Tenant == "" && !slices.ContainsFunc(p.Taints, func(t Taint) bool { return t.Effect != "PreferNoSchedule" })
}

func (s *Spec) validatePools(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	tenants := make([]string, 0, len(s.Tenants))
	for _, tenant := range s.Tenants {
		tenants = append(tenants, tenant.Name)
	}
	for i := range s.Cluster.Pools {
		pool, at := &s.Cluster.Pools[i], at.Index(i)
		errs = append(errs, validateLabel(pool.Name, at.Child("name"))...)
		if names[pool.Name] && pool.Name != "" {
			errs = append(errs, field.Duplicate(at.Child("name"), pool.Name))
		}
		names[pool.Name] = true
		if pool.Tenant != "" && !slices.Contains(tenants, pool.Tenant) {
			errs = append(errs, field.Invalid(at.Child("tenant"), pool.Tenant, "must be the name of one of spec.tenants"))
		}
		if pool.Zone != s.Zone {
			errs = append(errs, s.validateZone(pool.Zone, at.Child("zone"))...)
		}
		errs = append(errs, pool.validate(at)...)
	}
	return errs
}

func (p *Pool) validate(at *field.Path) field.ErrorList {
	errs := validateType(p.NodeType, at.Child("nodeType"))
	errs = append(errs, p.validateSize(at)...)
	if p.VolumeGB < minPoolVolumeGB || p.VolumeGB > maxPoolVolumeGB {
		errs = append(errs, field.Invalid(at.Child("volumeGB"), p.VolumeGB, fmt.Sprintf("must be between %d and %d", minPoolVolumeGB, maxPoolVolumeGB)))
	}
	for _, key := range slices.Sorted(maps.Keys(p.Labels)) {
		at := at.Child("labels").Key(key)
		errs = append(errs, validateLabelKey(key, at)...)
		errs = append(errs, problemsOf(p.Labels[key], validation.IsValidLabelValue(p.Labels[key]), at)...)
	}
	seen := map[Taint]bool{}
	for i, taint := range p.Taints {
		at := at.Child("taints").Index(i)
		errs = append(errs, taint.validate(at)...)
		// Kubernetes identifies taints by key and effect.
		if identity := (Taint{Key: taint.Key, Effect: taint.Effect}); seen[identity] {
			errs = append(errs, field.Duplicate(at, taint.Key+":"+taint.Effect))
		} else {
			seen[identity] = true
		}
	}
	return errs
}

func (p *Pool) validateSize(at *field.Path) field.ErrorList {
	a := p.Autoscaling
	switch {
	case a == nil && p.Size < 1:
		return field.ErrorList{field.Invalid(at.Child("size"), p.Size, "must be at least 1")}
	case a == nil:
		return nil
	case a.Min < 0:
		return field.ErrorList{field.Invalid(at.Child("autoscaling", "min"), a.Min, "must be at least 0")}
	case a.Max < max(a.Min, 1):
		return field.ErrorList{field.Invalid(at.Child("autoscaling", "max"), a.Max, "must be at least 1, and at least min")}
	case p.Size < a.Min || p.Size > a.Max:
		return field.ErrorList{field.Invalid(at.Child("size"), p.Size, fmt.Sprintf("must be between min and max of autoscaling, %d and %d", a.Min, a.Max))}
	}
	return nil
}

func (t *Taint) validate(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if t.Key == "" {
		errs = append(errs, field.Required(at.Child("key"), "the key of a taint, such as example.com/dedicated"))
	} else {
		errs = append(errs, validateLabelKey(t.Key, at.Child("key"))...)
	}
	errs = append(errs, problemsOf(t.Value, validation.IsValidLabelValue(t.Value), at.Child("value"))...)
	return append(errs, validateOneOf(t.Effect, at.Child("effect"), "NoSchedule", "PreferNoSchedule", "NoExecute")...)
}

// validateLabelKey requires a key of Kubernetes labels and taints. It refuses
// the key of tenants, which the field tenant of a pool sets.
func validateLabelKey(key string, at *field.Path) field.ErrorList {
	if key == names.LabelTenant {
		return field.ErrorList{field.Forbidden(at, "is set by the field tenant of the pool: set that, and remove this")}
	}
	return problemsOf(key, validation.IsQualifiedName(key), at)
}
