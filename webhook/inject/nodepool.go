package inject

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// NodePoolConflict returns a Refusal if the pod asks for nodes that are not
// those of the tenant's nodePool. Only labels in the pod's nodeSelector can
// conflict: affinities and a nodeName only narrow the choice further, and the
// kubelet of a wrong node refuses the pod. It returns nil if there is no conflict.
func NodePoolConflict(pod *Pod, tenant *v1alpha1.EgressTenant) *Refusal {
	if tenant.Spec.NodePool == nil {
		return nil
	}
	selector, err := pod.Spec.nodeSelector()
	if err != nil {
		return &Refusal{names.ReasonNodePoolConflict, err.Error()}
	}
	var conflicts []string
	for _, label := range slices.Sorted(maps.Keys(tenant.Spec.NodePool.NodeSelector)) {
		wanted := tenant.Spec.NodePool.NodeSelector[label]
		if own, set := selector[label]; set && own != wanted {
			conflicts = append(conflicts, fmt.Sprintf("spec.nodeSelector[%s] is %q, but pods of EgressTenant %s run on nodes with %q (spec.nodePool)", label, own, tenant.Name, wanted))
		}
	}
	if len(conflicts) == 0 {
		return nil
	}
	return &Refusal{names.ReasonNodePoolConflict, strings.Join(conflicts, "; ") + ": remove it from the pod template"}
}

// NewNodePoolPatch returns the patch that confines a pod to the tenant's nodePool,
// without anything else. It is written into the buffer, which may be nil, as far
// as that has room.
func NewNodePoolPatch(pod *Pod, tenant *v1alpha1.EgressTenant, buffer []byte) Patch {
	p := newPatcher(pod, &Injection{}, buffer)
	p.nodePool(pod, tenant.Spec.NodePool)
	return p.finish()
}

// nodePool adds the labels and tolerations that the pod does not have. A pod
// without containers, which the API server refuses, is left as it is: it may have
// no spec to add to.
func (p *patcher) nodePool(pod *Pod, pool *v1alpha1.NodePool) {
	if pool == nil || len(pod.Spec.Containers) == 0 {
		return
	}
	p.nodeSelector(pod, pool.NodeSelector)
	existing, isList := pod.Spec.tolerations()
	var missing []v1alpha1.Toleration
	for _, toleration := range pool.Tolerations {
		if toleration = withOperator(toleration); !slices.Contains(existing, toleration) {
			missing = append(missing, toleration)
		}
	}
	switch {
	case len(missing) == 0:
	case !isList:
		p.add(encodeJSON(missing), "/spec/tolerations")
	default:
		for _, toleration := range missing {
			p.add(encodeJSON(toleration), "/spec/tolerations/-")
		}
	}
}

func (p *patcher) nodeSelector(pod *Pod, wanted map[string]string) {
	own, err := pod.Spec.nodeSelector()
	switch {
	case err != nil, len(wanted) == 0: // NodePoolConflict has refused the pod
	case own == nil:
		p.add(encodeJSON(wanted), "/spec/nodeSelector")
	default:
		for _, label := range slices.Sorted(maps.Keys(wanted)) {
			if _, set := own[label]; !set {
				p.add(quote(wanted[label]), "/spec/nodeSelector/", escape(label))
			}
		}
	}
}

// maxRawValue bounds the fields of a pod that are kept undecoded, in bytes.
const maxRawValue = 64 << 10

// rawValue is a field that is decoded only for tenants that need it. It is empty
// for null and for a missing field.
type rawValue struct {
	json    jsontext.Value
	tooLong bool
}

// UnmarshalJSONFrom keeps a value up to maxRawValue.
func (v *rawValue) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	value, err := d.ReadValue()
	switch {
	case err != nil:
		return err
	case value.Kind() == 'n':
	case len(value) > maxRawValue:
		v.tooLong = true
	default:
		v.json = value.Clone()
	}
	return nil
}

// nodeSelector returns the pod's own selector, nil if it has none.
func (s *Spec) nodeSelector() (map[string]string, error) {
	var selector map[string]string
	switch {
	case s.NodeSelector.tooLong:
		return nil, fmt.Errorf("spec.nodeSelector is longer than %d bytes: shorten it", maxRawValue)
	case s.NodeSelector.json == nil:
		return nil, nil
	}
	// Without options, a repeated label is an error.
	if err := json.Unmarshal(s.NodeSelector.json, &selector); err != nil {
		return nil, fmt.Errorf("spec.nodeSelector is not a map of strings: %w", err)
	}
	return selector, nil
}

// tolerations returns the pod's own tolerations, with the default operator, and
// whether the pod has a list of them. A list that is too long or cannot be decoded
// has none: the API server decides about it.
func (s *Spec) tolerations() ([]v1alpha1.Toleration, bool) {
	if s.Tolerations.json == nil {
		return nil, s.Tolerations.tooLong
	}
	var list []struct {
		v1alpha1.Toleration
		// TolerationSeconds bounds the time on a node, which makes it another
		// toleration.
		TolerationSeconds *int64 `json:"tolerationSeconds"`
	}
	if err := json.Unmarshal(s.Tolerations.json, &list, jsontext.AllowInvalidUTF8(true)); err != nil {
		return nil, true
	}
	var tolerations []v1alpha1.Toleration
	for _, item := range list {
		if item.TolerationSeconds == nil {
			tolerations = append(tolerations, withOperator(item.Toleration))
		}
	}
	return tolerations, true
}

// withOperator sets the operator that Kubernetes presumes.
func withOperator(toleration v1alpha1.Toleration) v1alpha1.Toleration {
	toleration.Operator = cmp.Or(toleration.Operator, v1alpha1.TolerationEqual)
	return toleration
}

// encodeJSON encodes strings, and maps, lists and structures of them, which cannot
// fail.
func encodeJSON(value any) string {
	text, err := json.Marshal(value, json.Deterministic(true))
	if err != nil {
		panic("encoding strings cannot fail: " + err.Error())
	}
	return string(text)
}
