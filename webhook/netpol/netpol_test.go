package netpol

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/golden"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/settings"
)

// goldenCase is a file testdata/NAME.yaml. NAME.golden.yaml is the policy.
type goldenCase struct {
	Namespace string                `json:"namespace"`
	APIServer []netip.AddrPort      `json:"apiServer"`
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
			// Every proxy serves the tenant on its port.
			input.Tenant.Status.ProxyURL = fmt.Sprintf("http://%s:%d", s.Proxy.Addresses[0], input.Tenant.Spec.ProxyPort())
			policy := Build(&input.Tenant, input.Namespace, s, input.APIServer...)
			checkProperties(t, policy, &input.Tenant, s, input.APIServer...)
			got, err := yaml.Marshal(policy)
			if err != nil {
				t.Fatal(err)
			}
			golden.Assert(t, string(got), name+".golden.yaml")
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
		checkProperties(t, policy, tenant, s)
		if diff := cmp.Diff(policy, Build(tenant.DeepCopy(), "ns", s)); diff != "" {
			t.Fatalf("two policies from the same input differ:\n%s", diff)
		}
	}
}

func randomSettings(random *rand.Rand) *settings.Settings {
	s := &settings.Settings{}
	s.DNS.Pods = []settings.DNSPods{{Namespace: "kube-system", PodLabels: map[string]string{"k8s-app": "kube-dns", "a": "b", "c": "d"}, Ports: []uint16{53, 5353}}}
	for range 1 + random.IntN(4) {
		s.Proxy.Addresses = append(s.Proxy.Addresses, randomAddress(random))
	}
	if random.IntN(2) == 0 {
		s.Proxy.Addresses = append(s.Proxy.Addresses, netip.MustParseAddr("172.16.28.8"), netip.MustParseAddr("fd00:1::1"))
	}
	if random.IntN(2) == 0 {
		s.DNS.NodeLocal = randomAddress(random)
	}
	if random.IntN(2) == 0 {
		s.Cluster.CIDRs = []netip.Prefix{netip.MustParsePrefix("8.8.0.0/16"), netip.MustParsePrefix("10.32.0.0/20"), netip.MustParsePrefix("2600::/64")}
	}
	s.Proxy.Identity = v1alpha1.Identities()[random.IntN(3)]
	if random.IntN(2) == 0 {
		s.DNS.Closed = &settings.ClosedDNS{Address: randomAddress(random), Pods: settings.DNSPods{Namespace: "egress-system", PodLabels: map[string]string{"app": "dns"}, Ports: []uint16{53}}}
	}
	return s
}

func exampleSettings() *settings.Settings {
	return &settings.Settings{
		Proxy: settings.Proxy{Addresses: []netip.Addr{netip.MustParseAddr("172.16.28.8")}},
		DNS:   settings.DNS{Pods: []settings.DNSPods{{Namespace: "kube-system", PodLabels: map[string]string{"k8s-app": "kube-dns"}, Ports: []uint16{53}}}},
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
	tenant := &v1alpha1.EgressTenant{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("client-%d", random.IntN(100))}}
	tenant.Spec.Proxy = &v1alpha1.TenantProxy{Port: names.TenantPortMin + random.Int32N(names.TenantPortMax-names.TenantPortMin+1)}
	if random.IntN(2) == 0 {
		tenant.Spec.Path, tenant.Spec.Proxy = v1alpha1.PathGateway, nil
	}
	if tenant.Spec.Proxy != nil && random.IntN(2) == 0 {
		tenant.Spec.Sidecar = &v1alpha1.Sidecar{}
	}
	if tenant.Spec.Proxy != nil && random.IntN(2) == 0 {
		tenant.Spec.DNS = v1alpha1.DNSClosed
	}
	if random.IntN(2) == 0 {
		tenant.Spec.Ingress, tenant.Spec.IngressFrom = v1alpha1.IngressTenant, []string{"ingress-nginx"}[:random.IntN(2)]
	}
	for _, access := range []v1alpha1.ClusterAccess{
		{Namespace: "observability", Ports: []int32{4317}},
		{CIDR: "172.16.28.0/22", Ports: []int32{3130, 5432}},
		{CIDR: "172.16.28.8/32", Ports: []int32{3255}},
		{CIDR: "fd00:1::/64", Ports: []int32{443}},
		{APIServer: true},
	} {
		if random.IntN(2) == 0 {
			tenant.Spec.ClusterAccess = append(tenant.Spec.ClusterAccess, access)
		}
	}
	return tenant
}

// checkProperties checks the properties that every policy must have: one wrong
// peer in one rule opens a namespace.
func checkProperties(t *testing.T, policy *networkingv1.NetworkPolicy, tenant *v1alpha1.EgressTenant, s *settings.Settings, apiServer ...netip.AddrPort) {
	t.Helper()
	if len(policy.Spec.PodSelector.MatchLabels)+len(policy.Spec.PodSelector.MatchExpressions) > 0 {
		t.Errorf("the policy misses pods: it selects %+v", policy.Spec.PodSelector)
	}
	types := []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	if tenant.Spec.Ingress == v1alpha1.IngressTenant {
		types = append(types, networkingv1.PolicyTypeIngress)
	}
	if diff := cmp.Diff(types, policy.Spec.PolicyTypes); diff != "" {
		t.Errorf("policyTypes (-want +got):\n%s", diff)
	}
	for i, rule := range policy.Spec.Egress {
		if len(rule.To) == 0 {
			t.Errorf("egress[%d] has no destination, which means every destination", i)
		}
		for j, peer := range rule.To {
			checkPeer(t, fmt.Sprintf("egress[%d].to[%d]", i, j), peer)
		}
		for _, port := range rule.Ports {
			if port.Port == nil || port.Protocol == nil || port.EndPort != nil {
				t.Errorf("egress[%d] is open on more than one port: %+v", i, port)
			}
		}
	}
	for i, rule := range policy.Spec.Ingress {
		if len(rule.From) == 0 {
			t.Errorf("ingress[%d] has no source, which means every source", i)
		}
		for j, peer := range rule.From {
			checkPeer(t, fmt.Sprintf("ingress[%d].from[%d]", i, j), peer)
		}
	}
	checkDNS(t, policy, tenant, s)
	for _, target := range targets(s) {
		if got, want := permits(policy, target), mayReach(tenant, s, target, apiServer); got != want {
			t.Errorf("%s is open: %t, want %t", target, got, want)
		}
	}
}

// checkDNS demands that a policy opens the DNS pods that the tenant may ask, and no
// others.
func checkDNS(t *testing.T, policy *networkingv1.NetworkPolicy, tenant *v1alpha1.EgressTenant, s *settings.Settings) {
	t.Helper()
	var want, got []string
	switch {
	case len(policy.Spec.Egress) == 0: // BuildClosed
	case tenant.Spec.DNS != v1alpha1.DNSClosed:
		for _, pods := range s.DNS.Pods {
			want = append(want, pods.Namespace)
		}
	case s.DNS.Closed != nil:
		want = append(want, s.DNS.Closed.Pods.Namespace)
	}
	for _, rule := range policy.Spec.Egress {
		if len(rule.Ports) > 0 && *rule.Ports[0].Protocol == corev1.ProtocolUDP && rule.To[0].NamespaceSelector != nil {
			got = append(got, rule.To[0].NamespaceSelector.MatchLabels[corev1.LabelMetadataName])
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("namespaces of DNS pods (-want +got):\n%s", diff)
	}
}

// checkPeer checks the conditions of the API server, and that no peer is every
// namespace.
func checkPeer(t *testing.T, at string, peer networkingv1.NetworkPolicyPeer) {
	t.Helper()
	if peer.IPBlock == nil {
		if peer.NamespaceSelector == nil || len(peer.NamespaceSelector.MatchLabels) == 0 {
			t.Errorf("%s reaches every namespace: %+v", at, peer)
		}
		return
	}
	block, err := netip.ParsePrefix(peer.IPBlock.CIDR)
	if err != nil || block != block.Masked() {
		t.Errorf("%s: %s is not a range (%v)", at, peer.IPBlock.CIDR, err)
	}
	for _, text := range peer.IPBlock.Except {
		except, err := netip.ParsePrefix(text)
		if err != nil || !block.Contains(except.Addr()) || except.Bits() <= block.Bits() {
			t.Errorf("%s: the exception %s is not a strict part of %s (%v)", at, text, block, err)
		}
	}
}

// targets are addresses and ports at the borders of everything that a policy may
// open or must close.
func targets(s *settings.Settings) []netip.AddrPort {
	addresses := append([]netip.Addr{s.DNS.NodeLocal, netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("2600::1")}, s.Proxy.Addresses...)
	for _, prefix := range append(policy.ForbiddenDestinations(), s.Cluster.CIDRs...) {
		addresses = append(addresses, prefix.Addr())
	}
	for _, text := range []string{"172.16.28.20", "172.16.29.1", "10.9.8.7", "fd00::1", "fd00:1::1", "169.254.169.254"} {
		addresses = append(addresses, netip.MustParseAddr(text))
	}
	var all []netip.AddrPort
	for _, address := range addresses {
		for _, port := range []uint16{22, 53, 80, 443, 3128, 3129, 3130, 3255, 3443, 5432, 6443} {
			if address.IsValid() {
				all = append(all, netip.AddrPortFrom(address, port))
			}
		}
	}
	return all
}

// permits reports whether a policy opens a TCP port of an address.
func permits(policy *networkingv1.NetworkPolicy, target netip.AddrPort) bool {
	return slices.ContainsFunc(policy.Spec.Egress, func(rule networkingv1.NetworkPolicyEgressRule) bool {
		return (len(rule.Ports) == 0 || slices.ContainsFunc(rule.Ports, func(p networkingv1.NetworkPolicyPort) bool {
			return *p.Protocol == corev1.ProtocolTCP && p.Port.IntVal == int32(target.Port())
		})) && slices.ContainsFunc(rule.To, func(peer networkingv1.NetworkPolicyPeer) bool {
			return peer.IPBlock != nil && netip.MustParsePrefix(peer.IPBlock.CIDR).Contains(target.Addr()) &&
				!slices.ContainsFunc(peer.IPBlock.Except, func(text string) bool { return netip.MustParsePrefix(text).Contains(target.Addr()) })
		})
	})
}

// mayReach is the specification: by address, a tenant reaches the node-local DNS
// unless its DNS is closed, its own port of the proxy unless that demands sidecars, the
// port of sidecars with the sidecar, the public internet with path Gateway, and what
// clusterAccess lists, but never another port of the proxy.
func mayReach(tenant *v1alpha1.EgressTenant, s *settings.Settings, target netip.AddrPort, apiServer []netip.AddrPort) bool {
	address, port := target.Addr(), int32(target.Port())
	if address == s.DNS.NodeLocal && port == 53 && tenant.Spec.DNS != v1alpha1.DNSClosed || tenant.Spec.HasAPIServerAccess() && slices.Contains(apiServer, target) {
		return true
	}
	if slices.Contains(s.Proxy.Addresses, address) {
		switch {
		case !tenant.Spec.IsProxied():
			return false
		case port == 3443:
			return tenant.Spec.Sidecar != nil && (s.Proxy.Identity == v1alpha1.IdentityOffered || s.Proxy.Identity == v1alpha1.IdentityRequired)
		}
		return port == tenant.Spec.ProxyPort() && s.Proxy.Identity != v1alpha1.IdentityRequired
	}
	for _, access := range tenant.Spec.ClusterAccess {
		if prefix := access.Prefix(); prefix.IsValid() && prefix.Contains(address) && slices.Contains(access.Ports, port) {
			return true
		}
	}
	inCluster := slices.ContainsFunc(s.Cluster.CIDRs, func(prefix netip.Prefix) bool { return prefix.Contains(address) })
	return tenant.Spec.Path == v1alpha1.PathGateway && !inCluster && !policy.IsForbidden(only(address))
}

// TestBuildClosed: a namespace of an unknown tenant has no egress path at all.
func TestBuildClosed(t *testing.T) {
	t.Parallel()
	for _, tenant := range []string{"lost", ""} {
		policy := BuildClosed(tenant, "ns")
		checkProperties(t, policy, &v1alpha1.EgressTenant{}, exampleSettings())
		if len(policy.Spec.Egress) > 0 {
			t.Errorf("%q: the policy opens %+v", tenant, policy.Spec.Egress)
		}
		if got, labelled := policy.Labels[names.LabelTenant]; !labelled || got != tenant {
			t.Errorf("%q: the labels are %v", tenant, policy.Labels)
		}
	}
}

// TestInvalidAccessOpensNothing: the API server's schema cannot tell private
// ranges from public ones.
func TestInvalidAccessOpensNothing(t *testing.T) {
	t.Parallel()
	tenant := &v1alpha1.EgressTenant{ObjectMeta: metav1.ObjectMeta{Name: "client-a"}}
	tenant.Spec.Proxy = &v1alpha1.TenantProxy{Port: 3129}
	want := len(Build(tenant, "ns", exampleSettings()).Spec.Egress)
	for _, access := range []v1alpha1.ClusterAccess{
		{CIDR: "0.0.0.0/0", Ports: []int32{443}},
		{CIDR: "8.8.8.0/24", Ports: []int32{443}},
		{CIDR: "169.254.169.254/32", Ports: []int32{80}},
		{CIDR: "10.0.0.1/8", Ports: []int32{443}},
		{CIDR: "10.0.0.0/8"},
		{Namespace: "web", PodLabels: map[string]string{"a": "b c"}, Ports: []int32{80}},
		{Namespace: "web", CIDR: "10.0.0.0/8", Ports: []int32{80}},
		{},
	} {
		tenant.Spec.ClusterAccess = []v1alpha1.ClusterAccess{access}
		if got := Build(tenant, "ns", exampleSettings()).Spec.Egress; len(got) != want {
			t.Errorf("%+v opens %+v", access, got[len(got)-1])
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
