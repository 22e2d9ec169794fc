package netpol

import (
	"reflect"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"egress.scw/webhook/api/names"
)

// InSync reports whether an observed NetworkPolicy, nil if there is none, has
// the tenant label and the spec of the wanted one. Other labels, and all
// annotations, may be set by other clients and are not compared.
func InSync(observed, wanted *networkingv1.NetworkPolicy) bool {
	if observed == nil {
		return false
	}
	// The label may be empty, which is not the same as missing: a policy without
	// it is another client's.
	tenant, labelled := observed.Labels[names.LabelTenant]
	return labelled && tenant == wanted.Labels[names.LabelTenant] &&
		// The first comparison is cheaper, and nearly always sufficient.
		(reflect.DeepEqual(&observed.Spec, &wanted.Spec) || equality.Semantic.DeepEqual(&observed.Spec, &wanted.Spec))
}
