package watch

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/bootstrap/config"
	"egress.scw/webhook/api/v1alpha1"
)

// LeftOut is an EgressTenant that is not valid beside the others.
type LeftOut struct {
	Tenant *v1alpha1.EgressTenant
	// Problem names the fields, as they are called in the EgressTenant.
	Problem error
}

// Merge returns a valid egress.yaml with the tenants of the cluster added to its own.
// An EgressTenant takes the place of the tenant of the same name in egress.yaml as a
// whole. One with which egress.yaml would not be valid, because of its port for example,
// or whose files fits refuses, because of their size for example, is left out: first come
// the tenants that egress.yaml alone has, then the EgressTenants from the oldest to the
// youngest.
func Merge(egress *config.Egress, tenants []v1alpha1.EgressTenant, fits func(*config.Egress) error) (*config.Egress, []LeftOut, error) {
	merged := *egress
	merged.Spec.Tenants = overlaid(egress.Spec.Tenants, tenants)
	if len(merged.Validate()) == 0 && fits(&merged) == nil {
		return &merged, nil, nil
	}
	valid, leftOut, err := compatible(egress, tenants, fits)
	if err != nil {
		return nil, nil, err
	}
	merged.Spec.Tenants = overlaid(valid, nil)
	if errs := merged.Validate(); len(errs) > 0 {
		return nil, leftOut, fmt.Errorf("with the EgressTenants of the cluster: %w", errs.ToAggregate())
	}
	return &merged, leftOut, nil
}

// overlaid returns the tenants of egress.yaml in their order, each replaced by the
// EgressTenant of its name, and then the others by name.
func overlaid(own []v1alpha1.Tenant, tenants []v1alpha1.EgressTenant) []v1alpha1.Tenant {
	all := slices.Clone(own)
	var added []v1alpha1.Tenant
	for i := range tenants {
		tenant := listed(&tenants[i])
		if at := indexOf(all, tenant.Name); at >= 0 {
			all[at] = tenant
		} else {
			added = append(added, tenant)
		}
	}
	slices.SortFunc(added, func(a, b v1alpha1.Tenant) int { return cmp.Compare(a.Name, b.Name) })
	return append(all, added...)
}

// compatible returns the tenants that are valid together, and the EgressTenants that
// are not. It is an error if those of egress.yaml alone do not fit.
func compatible(egress *config.Egress, tenants []v1alpha1.EgressTenant, fits func(*config.Egress) error) ([]v1alpha1.Tenant, []LeftOut, error) {
	valid := slices.DeleteFunc(slices.Clone(egress.Spec.Tenants), func(own v1alpha1.Tenant) bool {
		return slices.ContainsFunc(tenants, func(t v1alpha1.EgressTenant) bool { return t.Name == own.Name })
	})
	byAge := slices.Clone(tenants)
	slices.SortFunc(byAge, func(a, b v1alpha1.EgressTenant) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	accepted := *egress
	accepted.Spec.Tenants = valid
	if err := fits(&accepted); err != nil {
		return nil, nil, err
	}
	before := accepted.Validate()
	var leftOut []LeftOut
	for i := range byAge {
		candidate := *egress
		candidate.Spec.Tenants = append(slices.Clone(accepted.Spec.Tenants), listed(&byAge[i]))
		found := candidate.Validate()
		problem := problemOfLast(&candidate, found, before)
		if problem == nil {
			problem = fits(&candidate)
		}
		if problem != nil {
			leftOut = append(leftOut, LeftOut{&byAge[i], problem})
			continue
		}
		accepted, before = candidate, found
	}
	return accepted.Spec.Tenants, leftOut, nil
}

// problemOfLast returns the errors that the last tenant has brought. Others exist without
// it, such as a pool that belongs to a tenant that comes later.
func problemOfLast(egress *config.Egress, found, before field.ErrorList) error {
	path := field.NewPath("spec", "tenants").Index(len(egress.Spec.Tenants)-1).String() + "."
	var problems []error
	for _, err := range found {
		if slices.ContainsFunc(before, func(other *field.Error) bool { return other.Error() == err.Error() }) {
			continue
		}
		of := *err
		if name, ok := strings.CutPrefix(err.Field, path); ok {
			of.Field = "spec." + name
		} else {
			of.Field = "egress.yaml: " + err.Field
		}
		problems = append(problems, &of)
	}
	return errors.Join(problems...)
}

// listed is an EgressTenant in the form of egress.yaml.
func listed(tenant *v1alpha1.EgressTenant) v1alpha1.Tenant {
	return v1alpha1.Tenant{Name: tenant.Name, EgressTenantSpec: tenant.Spec}
}

func indexOf(tenants []v1alpha1.Tenant, name string) int {
	return slices.IndexFunc(tenants, func(t v1alpha1.Tenant) bool { return t.Name == name })
}
