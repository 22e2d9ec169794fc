package coverage_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/golden"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/kubectl-egress/coverage"
	"egress.scw/webhook/kubectl-egress/state"
	"egress.scw/webhook/kubectl-egress/statetest"
	"egress.scw/webhook/netpol"
	"egress.scw/webhook/settings"
)

func TestOfPod(t *testing.T) {
	s, before := statetest.Healthy(t), statetest.Healthy(t)
	before.Tenants[0].Status.ServiceIP = ""
	injected := func(change func(*corev1.Pod)) *corev1.Pod {
		pod := statetest.Inject(t, s, statetest.Pod(statetest.Orders, "web"))
		change(pod)
		return pod
	}
	plain := func(change func(*corev1.Pod)) *corev1.Pod {
		pod := statetest.Pod(statetest.Orders, "web")
		change(pod)
		return pod
	}
	for name, test := range map[string]struct {
		pod  *corev1.Pod
		want coverage.Kind
		says string
	}{
		"injected before the tenant's Service": {statetest.Inject(t, before, statetest.Pod(statetest.Orders, "web")), coverage.Covered, ""},
		"injected":                             {injected(func(*corev1.Pod) {}), coverage.Covered, ""},
		"older than the label":                 {plain(func(*corev1.Pod) {}), coverage.WithoutVariables, "older than the label"},
		"ended":                                {plain(func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }), coverage.Ended, ""},
		"opted out":                            {plain(func(p *corev1.Pod) { p.Labels = map[string]string{names.LabelInject: "false"} }), coverage.OptedOut, "egress.scw/inject=false"},
		"own proxy variables": {injected(func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "http_proxy", Value: "http://proxy.corp:8080"}}
		}), coverage.Covered, ""},
		"forged annotation": {injected(func(p *corev1.Pod) { p.Spec.Containers[0].Env = nil }), coverage.WithoutVariables, "although the pod has the annotation"},
		"a container added": {injected(func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "side"})
		}), coverage.WithoutVariables, "no proxy variables in side"},
		"skipped container": {injected(func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "side"})
			p.Annotations[names.AnnotationSkipContainers] = "side"
		}), coverage.Covered, ""},
		"former configuration": {injected(func(p *corev1.Pod) {
			p.Annotations[names.AnnotationStatus] = strings.Replace(p.Annotations[names.AnnotationStatus], `"hash":"`, `"hash":"x`, 1)
		}), coverage.Outdated, "another configuration"},
		"host network":     {injected(func(p *corev1.Pod) { p.Spec.HostNetwork = true }), coverage.HostNetwork, "no NetworkPolicy applies"},
		"would be refused": {injected(func(p *corev1.Pod) { p.Annotations[names.AnnotationNoProxy] = "*" }), coverage.Refused, "InvalidAnnotation"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := coverage.OfPod(s, test.pod)
			if err != nil {
				t.Fatal(err)
			}
			if got.Kind != test.want || !strings.Contains(got.Reason, test.says) {
				t.Errorf("got %+v, want %s with %q", got, test.want, test.says)
			}
			if got.Kind.Uncovered() != (got.Remedy != "") {
				t.Errorf("%s: remedy %q", got.Kind, got.Remedy)
			}
		})
	}
}

// A change of the namespace's Services leaves pods up to date.
func TestServicesDoNotOutdatePods(t *testing.T) {
	s := statetest.Healthy(t)
	pod := statetest.Inject(t, s, statetest.Pod(statetest.Orders, "web"))
	service := corev1.Service{}
	service.Namespace, service.Name, service.Spec.ClusterIPs = statetest.Orders, "db", []string{"10.32.0.7"}
	s.Services = append(s.Services, service)
	if got, err := coverage.OfPod(s, pod); err != nil || got.Kind != coverage.Covered {
		t.Errorf("got %+v, %v", got, err)
	}
}

func report(t *testing.T, s *state.State, pods ...*corev1.Pod) *coverage.Report {
	t.Helper()
	builder := coverage.NewBuilder(s)
	for _, pod := range pods {
		if err := builder.Add(pod); err != nil {
			t.Fatal(err)
		}
	}
	return builder.Report()
}

// addGateway adds the tenant client-g with path Gateway, and its namespace games.
func addGateway(s *state.State) {
	gateway := v1alpha1.EgressTenant{Spec: v1alpha1.EgressTenantSpec{Path: v1alpha1.PathGateway}}
	gateway.Name = "client-g"
	gateway.Status.Conditions = []metav1.Condition{{Type: names.ConditionReady, Status: metav1.ConditionTrue, Reason: string(names.ReasonReady)}}
	s.Tenants = append(s.Tenants, gateway)
	s.Settings.Proxy.Egress.Gateway = []netip.Addr{netip.MustParseAddr("198.51.100.9")}
	games := statetest.Namespace("games", gateway.Name)
	s.Namespaces = slices.Insert(s.Namespaces, 1, games) // behind billing: they are sorted
	s.Policies[games.Name] = netpol.Build(&gateway, games.Name, s.Settings)
}

func TestHealthyReport(t *testing.T) {
	s := statetest.Healthy(t)
	addGateway(s)
	optedOut := statetest.Pod(statetest.Stock, "opted-out")
	optedOut.Labels = map[string]string{names.LabelInject: "false"}
	got := report(t, s,
		statetest.Inject(t, s, statetest.Pod(statetest.Orders, "web")), statetest.Inject(t, s, statetest.Pod(statetest.Billing, "job")),
		optedOut, statetest.Pod(statetest.Tools, "of-no-tenant"), statetest.Pod("games", "one"), statetest.Pod("games", "two"))
	if !got.IsCovered() {
		t.Errorf("got %+v", got)
	}
	total, err := json.Marshal(got.Total)
	if want := `{"pods":5,"covered":2,"optedOut":1,"gateway":2,"withoutVariables":0,"outdated":0,"refused":0,"hostNetwork":0}`; err != nil || string(total) != want {
		t.Errorf("got %s, %v, want %s", total, err, want)
	}
	golden.Assert(t, got.Text(false, false), "healthy.golden.txt")
}

// The webhook corrects level and version of a namespace's Pod Security Standard when it gets
// the tenant label. Namespaces that had the label before that have a finding.
func TestPodSecurityOfNamespaces(t *testing.T) {
	const (
		level   = "has no label pod-security.kubernetes.io/enforce=baseline"
		version = "has the label pod-security.kubernetes.io/enforce-version=v1.20"
	)
	for name, test := range map[string]struct {
		wanted settings.PodSecurity
		labels map[string]string
		want   []string
	}{
		"wanted":             {settings.PodSecurityBaseline, map[string]string{"enforce": "baseline"}, nil},
		"stricter, latest":   {settings.PodSecurityBaseline, map[string]string{"enforce": "restricted", "enforce-version": "latest"}, nil},
		"none":               {settings.PodSecurityBaseline, nil, []string{level}},
		"weaker":             {settings.PodSecurityBaseline, map[string]string{"enforce": "privileged"}, []string{level}},
		"older version":      {settings.PodSecurityBaseline, map[string]string{"enforce": "baseline", "enforce-version": "v1.20"}, []string{version}},
		"weaker, older":      {settings.PodSecurityBaseline, map[string]string{"enforce": "privileged", "enforce-version": "v1.20"}, []string{level, version}},
		"off, older version": {settings.PodSecurityOff, map[string]string{"enforce-version": "v1.20"}, nil},
		"not set":            {"", nil, nil},
	} {
		s := statetest.Healthy(t)
		s.Settings.Namespaces.PodSecurity = test.wanted
		namespace, _ := s.Namespace(statetest.Orders)
		namespace.Labels = map[string]string{names.LabelTenant: "client-a"}
		for label, value := range test.labels {
			namespace.Labels["pod-security.kubernetes.io/"+label] = value
		}
		var got []string
		for _, finding := range coverage.OfNamespace(s, namespace) {
			message, _, _ := strings.Cut(finding.Message, ": ")
			got = append(got, message)
			if !strings.HasPrefix(finding.Remedy, "kubectl label --overwrite namespace orders pod-security.kubernetes.io/") {
				t.Errorf("%s: remedy %q", name, finding.Remedy)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestUncoveredReport(t *testing.T) {
	s := statetest.Healthy(t)
	delete(s.Policies, statetest.Stock)
	s.Foreign[statetest.Orders] = []string{"orders/NetworkPolicy mine"}
	s.MissingGuards = []string{"own-policy.egress.scw"}
	s.Webhook.Ready = 0
	orphan, system := statetest.Namespace("orphan", "client-x"), statetest.Namespace("kube-system", "client-a")
	s.Namespaces = append(s.Namespaces, orphan, system)
	slices.SortFunc(s.Namespaces, func(a, b corev1.Namespace) int { return strings.Compare(a.Name, b.Name) })
	delete(s.Namespaces[0].Labels, "pod-security.kubernetes.io/enforce")
	s.Settings.Proxy.Egress.Dedicated = nil
	b := s.Tenant("client-b")
	for i := range b.Status.Conditions {
		if kind := b.Status.Conditions[i].Type; kind == names.ConditionReady || kind == names.ConditionProxyReachable {
			b.Status.Conditions[i].Status = metav1.ConditionFalse
			b.Status.Conditions[i].Reason = string(names.ReasonProxyUnreachable)
			b.Status.Conditions[i].Message = "The proxy does not answer on the tenant's port: 172.16.28.8:3130: connection refused"
		}
	}
	gateway := v1alpha1.EgressTenant{Spec: v1alpha1.EgressTenantSpec{Path: v1alpha1.PathGateway}}
	gateway.Name = "client-g"
	s.Tenants = append(s.Tenants, gateway)
	host := statetest.Inject(t, s, statetest.Pod(statetest.Billing, "host"))
	host.Spec.HostNetwork = true
	got := report(t, s, statetest.Pod(statetest.Orders, "old"), host, statetest.Inject(t, s, statetest.Pod(statetest.Orders, "web")))
	if got.IsCovered() {
		t.Error("all is covered")
	}
	golden.Assert(t, got.Text(false, false), "uncovered.golden.txt")
	golden.Assert(t, got.Text(true, true), "uncovered-wide-colour.golden.txt")
}

// A machine has the faults in which a status names it: also in a positive status, for which
// one machine that serves is sufficient, and not those of an address that begins like its own.
func TestMachinesHaveTheFaultsThatNameThem(t *testing.T) {
	s := statetest.Healthy(t)
	s.Settings.Proxy.Addresses = []netip.Addr{netip.MustParseAddr("172.16.28.8"), netip.MustParseAddr("172.16.28.80"), netip.MustParseAddr("72.16.28.80")}
	for i := range s.Tenants {
		conditions := &s.Tenants[i].Status.Conditions
		meta.RemoveStatusCondition(conditions, names.ConditionProxyReachable)
		meta.SetStatusCondition(conditions, metav1.Condition{
			Type: names.ConditionProxyReachable, Status: metav1.ConditionTrue,
			Message: "Port 3129 of the proxy serves the tenant's revision 0123456789abcdef, but a machine does not answer: 172.16.28.80:3128: i/o timeout",
		})
	}
	s.Tenants[1].Status.Conditions[len(s.Tenants[1].Status.Conditions)-1].Status = metav1.ConditionFalse
	for i, machine := range coverage.NewBuilder(s).Report().Machines {
		want := map[bool]int{true: 2}[machine.Address == "172.16.28.80"]
		if len(machine.Faults) != want || machine.Serves != 2-want {
			t.Errorf("machine %d: got %+v, want %d faults", i, machine, want)
		}
	}
}
