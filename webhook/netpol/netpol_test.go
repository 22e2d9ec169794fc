package netpol

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/golden"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/settings"
)

// goldenCase is a file testdata/NAME.yaml. NAME.golden.yaml is the policy.
type goldenCase struct {
	Namespace string                `json:"namespace"`
	Tenant    v1alpha1.EgressTenant `json:"tenant"`
	Settings  json.RawMessage       `json:"settings"`
}

func TestBuildGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in testdata: %v", err)
	}
	for _, file := range files {
		if base, isGolden := strings.CutSuffix(file, ".golden.yaml"); isGolden {
			if _, err := os.Stat(base + ".yaml"); err != nil {
				t.Errorf("%s is stale, its case is missing: %v", file, err)
			}
			continue
		}
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			input := readCase(t, file)
			s, err := settings.Parse(input.Settings)
			if err != nil {
				t.Fatalf("the case's settings: %v", err)
			}
			if errs := input.Tenant.Validate(); len(errs) > 0 {
				t.Fatalf("the case's tenant: %v", errs.ToAggregate())
			}
			policy := Build(&input.Tenant, input.Namespace, s)
			checkProperties(t, policy, s)
			got, err := yaml.Marshal(policy)
			if err != nil {
				t.Fatal(err)
			}
			golden.AssertBytes(t, got, name+".golden.yaml")
		})
	}
}

func readCase(t *testing.T, file string) goldenCase {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var input goldenCase
	if err := yaml.UnmarshalStrict(text, &input); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return input
}

// TestBuildProperties checks the properties of every policy on a thousand random
// ones.
func TestBuildProperties(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		s, tenant := randomSettings(random), randomTenant(random)
		policy := Build(tenant, "ns", s)
		checkProperties(t, policy, s)
		if diff := cmp.Diff(policy, Build(tenant.DeepCopy(), "ns", s)); diff != "" {
			t.Fatalf("two policies from the same input differ:\n%s", diff)
		}
	}
}

func randomSettings(random *rand.Rand) *settings.Settings {
	s := &settings.Settings{}
	s.DNS = settings.DNS{Namespace: "kube-system", PodLabels: map[string]string{"k8s-app": "kube-dns", "a": "b", "c": "d"}}
	for range 1 + random.IntN(4) {
		s.Proxy.Addresses = append(s.Proxy.Addresses, randomAddress(random))
	}
	if random.IntN(2) == 0 {
		s.DNS.NodeLocal = randomAddress(random)
	}
	return s
}

func exampleSettings() *settings.Settings {
	return &settings.Settings{
		Proxy: settings.Proxy{Addresses: []netip.Addr{netip.MustParseAddr("172.16.28.8")}},
		DNS:   settings.DNS{Namespace: "kube-system", PodLabels: map[string]string{"k8s-app": "kube-dns"}},
	}
}

func randomAddress(random *rand.Rand) netip.Addr {
	var bytes [16]byte
	for i := range bytes {
		bytes[i] = byte(random.Uint32())
	}
	if random.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte(bytes[:4]))
	}
	return netip.AddrFrom16(bytes).Unmap()
}

func randomTenant(random *rand.Rand) *v1alpha1.EgressTenant {
	return &v1alpha1.EgressTenant{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("client-%d", random.IntN(100))},
		Spec: v1alpha1.EgressTenantSpec{Proxy: &v1alpha1.TenantProxy{
			Port: names.TenantPortMin + random.Int32N(names.TenantPortMax-names.TenantPortMin+1),
		}},
	}
}

// checkProperties checks the properties that every policy must have: one wrong
// peer in one rule opens a namespace.
func checkProperties(t *testing.T, policy *networkingv1.NetworkPolicy, s *settings.Settings) {
	t.Helper()
	if len(policy.Spec.PodSelector.MatchLabels)+len(policy.Spec.PodSelector.MatchExpressions) > 0 {
		t.Errorf("the policy misses pods: it selects %+v", policy.Spec.PodSelector)
	}
	if diff := cmp.Diff([]networkingv1.PolicyType{networkingv1.PolicyTypeEgress}, policy.Spec.PolicyTypes); diff != "" {
		t.Errorf("policyTypes (-want +got):\n%s", diff)
	}
	for i, rule := range policy.Spec.Egress {
		if len(rule.To) == 0 {
			t.Errorf("rule %d has no destination, which means every destination", i)
		}
		for j, peer := range rule.To {
			checkPeer(t, fmt.Sprintf("egress[%d].to[%d]", i, j), peer, rule.Ports, s)
		}
	}
}

func checkPeer(t *testing.T, at string, peer networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, s *settings.Settings) {
	t.Helper()
	if peer.IPBlock == nil {
		if peer.NamespaceSelector == nil || len(peer.NamespaceSelector.MatchLabels) == 0 {
			t.Errorf("%s reaches every namespace: %+v", at, peer)
		}
		return
	}
	prefix, err := netip.ParsePrefix(peer.IPBlock.CIDR)
	if err != nil || !prefix.IsSingleIP() || len(peer.IPBlock.Except) > 0 {
		t.Errorf("%s is %+v, not a single address (%v)", at, peer.IPBlock, err)
	}
	if len(ports) == 0 {
		t.Errorf("%s is open on all ports of %s", at, prefix)
	}
	for _, port := range ports {
		if port.Port == nil || port.Protocol == nil || port.EndPort != nil {
			t.Errorf("%s is open on more than one port: %+v", at, port)
		} else if port.Port.IntVal == 53 && prefix.Addr() != s.DNS.NodeLocal {
			t.Errorf("%s opens DNS to %s, which is not the node-local DNS", at, prefix)
		}
	}
}

func TestBuildSharesNothing(t *testing.T) {
	t.Parallel()
	s := exampleSettings()
	tenant := &v1alpha1.EgressTenant{
		ObjectMeta: metav1.ObjectMeta{Name: "client-a"},
		Spec:       v1alpha1.EgressTenantSpec{Proxy: &v1alpha1.TenantProxy{Port: 3129}},
	}
	first, second := Build(tenant, "ns", s), Build(tenant, "ns", s)
	for i := range first.Spec.Egress {
		for j := range first.Spec.Egress[i].To {
			peer := &first.Spec.Egress[i].To[j]
			if peer.PodSelector != nil {
				peer.PodSelector.MatchLabels["k8s-app"] = "edited"
			}
			if peer.IPBlock != nil {
				peer.IPBlock.CIDR = "0.0.0.0/0"
			}
		}
		for j := range first.Spec.Egress[i].Ports {
			*first.Spec.Egress[i].Ports[j].Protocol = corev1.ProtocolSCTP
		}
	}
	if diff := cmp.Diff(second, Build(tenant, "ns", s)); diff != "" {
		t.Errorf("an edited policy changed the next one:\n%s", diff)
	}
}

func BenchmarkBuild(b *testing.B) {
	s := exampleSettings()
	tenant := &v1alpha1.EgressTenant{ObjectMeta: metav1.ObjectMeta{Name: "client-a"}}
	tenant.Spec.Proxy = &v1alpha1.TenantProxy{Port: 3129}
	b.ReportAllocs()
	for b.Loop() {
		Build(tenant, "ns", s)
	}
}
