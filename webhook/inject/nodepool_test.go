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
