package v1alpha1

import (
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (p *NodePool) validate(path *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	var errs field.ErrorList
	if len(p.NodeSelector) == 0 && len(p.Tolerations) == 0 {
		errs = append(errs, field.Required(path, "set nodeSelector, tolerations or both"))
	}
	errs = append(errs, validateLabels(p.NodeSelector, maxNodeLabels, path.Child("nodeSelector"))...)
	tolerations := path.Child("tolerations")
	if len(p.Tolerations) > maxTolerations {
		errs = append(errs, field.TooMany(tolerations, len(p.Tolerations), maxTolerations))
	}
	for i, toleration := range p.Tolerations {
		errs = append(errs, toleration.validate(tolerations.Index(i))...)
	}
	return errs
}

func (t Toleration) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if t.Key == "" {
		errs = append(errs, field.Required(path.Child("key"), "name the key of a taint: a toleration without a key would be one for all taints"))
	} else {
		for _, problem := range validation.IsQualifiedName(t.Key) {
			errs = append(errs, field.Invalid(path.Child("key"), t.Key, problem))
		}
	}
	switch t.Operator {
	case "", TolerationEqual:
		for _, problem := range validation.IsValidLabelValue(t.Value) {
			errs = append(errs, field.Invalid(path.Child("value"), t.Value, problem))
		}
	case TolerationExists:
		if t.Value != "" {
			errs = append(errs, field.Forbidden(path.Child("value"), "must not be set with operator Exists, which matches every value"))
		}
	default:
		errs = append(errs, field.NotSupported(path.Child("operator"), t.Operator, []TolerationOperator{TolerationEqual, TolerationExists}))
	}
	switch t.Effect {
	case "", "NoSchedule", "PreferNoSchedule", "NoExecute":
	default:
		errs = append(errs, field.NotSupported(path.Child("effect"), t.Effect, []TaintEffect{"NoSchedule", "PreferNoSchedule", "NoExecute"}))
	}
	return errs
}
