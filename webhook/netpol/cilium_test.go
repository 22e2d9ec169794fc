package netpol

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/golden"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/settings"
)

// The policies of the cases in testdata, with both parts of a CiliumNetworkPolicy,
// with one of them, and without any.
func TestBuildCiliumGolden(t *testing.T) {
	t.Parallel()
	both := func() (goldenCase, *settings.Settings) {
		input, s := readCase(t, "testdata/cluster-access.yaml"), exampleSettings()
		s.DNS.NodeLocal = netip.MustParseAddr("169.254.20.10")
		return input, s
	}
	input, s := both()
	got, err := yaml.Marshal(BuildCilium(&input.Tenant, input.Namespace, s, input.APIServer...))
	if err != nil {
		t.Fatal(err)
	}
	golden.Assert(t, string(got), "cilium/policy.golden.yaml")

	for name, test := range map[string]struct {
		change   func(*goldenCase, *settings.Settings)
		entities []string
	}{
		"both":                     {func(*goldenCase, *settings.Settings) {}, []string{"host", "kube-apiserver"}},
		"no DNS cache":             {func(_ *goldenCase, s *settings.Settings) { s.DNS.NodeLocal = netip.Addr{} }, []string{"kube-apiserver"}},
		"closed DNS":               {func(c *goldenCase, _ *settings.Settings) { c.Tenant.Spec.DNS = v1alpha1.DNSClosed }, []string{"kube-apiserver"}},
		"no access":                {func(c *goldenCase, _ *settings.Settings) { c.Tenant.Spec.ClusterAccess = nil }, []string{"host"}},
		"API server without ports": {func(c *goldenCase, _ *settings.Settings) { c.APIServer = nil }, []string{"host"}},
		"access that is not valid": {func(c *goldenCase, _ *settings.Settings) {
			c.Tenant.Spec.ClusterAccess = []v1alpha1.ClusterAccess{{APIServer: true, Namespace: "web"}}
		}, []string{"host"}},
		"access to a range, no DNS": {func(c *goldenCase, s *settings.Settings) {
			c.Tenant.Spec.ClusterAccess = c.Tenant.Spec.ClusterAccess[:3]
			s.DNS.NodeLocal = netip.Addr{}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			input, s := both()
			test.change(&input, s)
			if diff := cmp.Diff(test.entities, entities(t, BuildCilium(&input.Tenant, input.Namespace, s, input.APIServer...))); diff != "" {
				t.Errorf("opened entities (-want +got):\n%s", diff)
			}
		})
	}
}

// entities returns the destinations of a policy. It fails if a rule has another
// destination, no port, or if the policy does not select every pod: each of them
// would open more.
func entities(t *testing.T, policy *unstructured.Unstructured) []string {
	t.Helper()
	if policy == nil {
		return nil
	}
	spec := policy.Object["spec"].(map[string]any)
	if diff := cmp.Diff(map[string]any{}, spec["endpointSelector"]); diff != "" {
		t.Errorf("endpointSelector (-want +got):\n%s", diff)
	}
	var found []string
	for i, rule := range spec["egress"].([]any) {
		fields := rule.(map[string]any)
		to, _ := fields["toEntities"].([]any)
		if len(to) != 1 || len(fields) != 2 {
			t.Fatalf("egress[%d] is %v; want one entity and ports", i, fields)
		}
		for _, list := range fields["toPorts"].([]any) {
			for _, port := range list.(map[string]any)["ports"].([]any) {
				if number := port.(map[string]any)["port"]; number == "" || number == "0" {
					t.Errorf("egress[%d] opens every port", i)
				}
			}
		}
		found = append(found, to[0].(string))
	}
	return found
}

// TestBuildCiliumProperties: whatever the tenant is, no entity is opened that the
// NetworkPolicy of the same arguments does not open by its address.
func TestBuildCiliumProperties(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	apiServer := netip.MustParseAddrPort("172.16.28.20:6443")
	for range 1000 {
		s, tenant := randomSettings(random), randomTenant(random)
		var want []string
		if s.DNS.NodeLocal.IsValid() && tenant.Spec.DNS != v1alpha1.DNSClosed {
			want = append(want, "host")
		}
		// Without other rules, so that a range of clusterAccess does not open it.
		ranges := slices.ContainsFunc(tenant.Spec.ClusterAccess, func(a v1alpha1.ClusterAccess) bool { return a.Prefix().IsValid() })
		opened := permits(Build(tenant, "ns", s, apiServer), apiServer)
		if opened && !ranges || tenant.Spec.HasAPIServerAccess() {
			want = append(want, "kube-apiserver")
		}
		policy := BuildCilium(tenant, "ns", s, apiServer)
		if diff := cmp.Diff(want, entities(t, policy)); diff != "" {
			t.Fatalf("opened entities (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(policy, BuildCilium(tenant.DeepCopy(), "ns", s, apiServer)); diff != "" {
			t.Fatalf("two policies from the same input differ:\n%s", diff)
		}
	}
}

func TestCiliumInSync(t *testing.T) {
	t.Parallel()
	s := exampleSettings()
	s.DNS.NodeLocal = netip.MustParseAddr("169.254.20.10")
	wanted := BuildCilium(&v1alpha1.EgressTenant{}, "web", s)
	wanted.SetLabels(map[string]string{"egress.scw/tenant": "client-a"})
	field := func(value any, path ...string) func(*unstructured.Unstructured) {
		return func(u *unstructured.Unstructured) {
			if err := unstructured.SetNestedField(u.Object, value, path...); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range map[string]struct {
		change  func(*unstructured.Unstructured)
		want    bool
		foreign bool
	}{
		"as built":         {func(*unstructured.Unstructured) {}, true, false},
		"other labels":     {field("platform", "metadata", "labels", "team"), true, false},
		"annotations":      {field("seen", "metadata", "annotations", "note"), true, false},
		"status":           {field([]any{}, "status", "conditions"), true, false},
		"another tenant":   {field("client-b", "metadata", "labels", "egress.scw/tenant"), false, false},
		"another rule":     {field([]any{map[string]any{"toEntities": []any{"world"}}}, "spec", "egress"), false, false},
		"another selector": {field("web", "spec", "endpointSelector", "matchLabels", "app"), false, false},
		"a denial":         {field([]any{map[string]any{}}, "spec", "egressDeny"), false, true},
		"a list of specs":  {field([]any{map[string]any{}}, "specs"), false, true},
		"no spec":          {func(u *unstructured.Unstructured) { delete(u.Object, "spec") }, false, false},
		"spec is a text":   {field("all", "spec"), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			observed := wanted.DeepCopy()
			test.change(observed)
			if got := CiliumInSync(observed, wanted); got != test.want {
				t.Errorf("CiliumInSync is %t, want %t", got, test.want)
			}
			if got := CiliumHasForeignRules(observed); got != test.foreign {
				t.Errorf("CiliumHasForeignRules is %t, want %t", got, test.foreign)
			}
		})
	}
	if CiliumInSync(nil, wanted) {
		t.Error("a missing policy is in sync")
	}
}
