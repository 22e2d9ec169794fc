package inject

import (
	"strings"
	"testing"

	"egress.scw/webhook/api/v1alpha1"
)

// TestNodeSelectorsThatCannotBeRead are refused for tenants with a nodePool, and
// not read for others.
func TestNodeSelectorsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	confined := &v1alpha1.EgressTenant{}
	confined.Spec.NodePool = &v1alpha1.NodePool{NodeSelector: map[string]string{"pool": "client-a"}}
	for name, test := range map[string]struct{ selector, want string }{
		"a number":      {`{"pool": 1}`, "spec.nodeSelector is not a map of strings"},
		"a list":        {`[]`, "spec.nodeSelector is not a map of strings"},
		"label twice":   {`{"pool": "client-a", "pool": "client-b"}`, "spec.nodeSelector is not a map of strings"},
		"too long":      {`{"pool": "` + strings.Repeat("x", maxRawValue) + `"}`, "spec.nodeSelector is longer than 65536 bytes"},
		"null":          {`null`, ""},
		"as the pool's": {`{"pool": "client-a"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := mustDecode(t, []byte(`{"spec": {"containers": [{"name": "c"}], "nodeSelector": `+test.selector+`}}`))
			refusal := NodePoolConflict(pod, confined)
			if (refusal != nil) != (test.want != "") || refusal != nil && !strings.Contains(refusal.Message, test.want) {
				t.Errorf("the refusal is %v, want %q", refusal, test.want)
			}
			if refusal := NodePoolConflict(pod, &v1alpha1.EgressTenant{}); refusal != nil {
				t.Errorf("refused without a nodePool: %v", refusal)
			}
		})
	}
}

// TestUpdateKeepsTheNodePool: the manifest of a pod with tolerations or a
// nodeSelector of its own is applied again. The pod keeps those of the nodePool that
// it has. It gets no others, because Kubernetes would refuse labels that are new.
func TestUpdateKeepsTheNodePool(t *testing.T) {
	t.Parallel()
	confined := &v1alpha1.EgressTenant{}
	confined.Spec.NodePool = &v1alpha1.NodePool{
		NodeSelector: map[string]string{"pool": "client-a", "zone": "one"},
		Tolerations:  []v1alpha1.Toleration{{Key: "tenant", Value: "client-a"}, {Key: "new", Operator: v1alpha1.TolerationExists}},
	}
	const (
		had      = `"nodeSelector": {"disk": "fast", "pool": "client-a", "zone": "two"}, "tolerations": [{"key": "own", "operator": "Exists"}, {"key": "tenant", "operator": "Equal", "value": "client-a"}]`
		selector = `"nodeSelector": {"disk": "fast", "zone": "two"}`
		own      = `"tolerations": [{"key": "own", "operator": "Exists"}]`
	)
	for name, test := range map[string]struct{ spec, want string }{
		"applied again": {
			selector + "," + own,
			`[{"op":"add","path":"/spec/nodeSelector/pool","value":"client-a"},{"op":"add","path":"/spec/tolerations/-","value":{"key":"tenant","operator":"Equal","value":"client-a"}}]`,
		},
		"both removed": {
			`"priority": 1`,
			`[{"op":"add","path":"/spec/nodeSelector","value":{"pool":"client-a"}},{"op":"add","path":"/spec/tolerations","value":[{"key":"tenant","operator":"Equal","value":"client-a"}]}]`,
		},
		"unchanged":     {had, ""},
		"another value": {`"nodeSelector": {"pool": "other"}, "tolerations": [{"key": "tenant", "value": "client-a"}]`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			decode := func(spec string) *Pod {
				return mustDecode(t, []byte(`{"spec": {"containers": [{"name": "c"}], `+spec+`}}`))
			}
			pod, old := decode(test.spec), decode(had)
			injection := &Injection{nodePool: confined.Spec.NodePool}
			for path, patch := range map[string]Patch{
				"proxy":   NewUpdatePatch(pod, old, injection, nil),
				"gateway": NewNodePoolUpdatePatch(pod, old, confined, nil),
			} {
				if string(patch.JSON) != test.want {
					t.Errorf("path %s: the patch is %s, want %s", path, patch.JSON, test.want)
				}
			}
		})
	}
}
