package verify

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/golden"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/kubectl-egress/coverage"
	"egress.scw/webhook/kubectl-egress/explain"
	"egress.scw/webhook/kubectl-egress/statetest"
	"egress.scw/webhook/kubectl-egress/table"
	"egress.scw/webhook/netpol"
	"egress.scw/webhook/probe"
	"egress.scw/webhook/settings"
)

// healthy is a tenant whose pod found everything as it should be.
func healthy(t *testing.T) Input {
	t.Helper()
	s := statetest.Healthy(t)
	target, err := explain.ParseTarget("http://httpbin.org/ip")
	if err != nil {
		t.Fatal(err)
	}
	in := Input{
		State: s, Tenant: s.Tenant("client-a"), URL: target,
		Direct:    []netip.AddrPort{netip.MustParseAddrPort("1.1.1.1:443")},
		Resolvers: []netip.AddrPort{netip.MustParseAddrPort("1.1.1.1:53")},
	}
	in.Namespace, _ = s.Namespace(statetest.Orders)
	pod, err := coverage.OfPod(s, statetest.Inject(t, s, statetest.Pod(statetest.Orders, "web")))
	if err != nil {
		t.Fatal(err)
	}
	in.Pods = []coverage.Pod{pod}
	in.Report = reportOf(in)
	return in
}

// reportOf is what a pod prints where all guarantees hold.
func reportOf(in Input) *probe.Report {
	report := &probe.Report{Environment: map[string]string{}}
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
		report.Environment[name] = in.State.Cluster.PodProxyURL(in.Tenant)
	}
	for _, attempt := range Plan(in).Attempts {
		result := probe.Result{Name: attempt.Name, Succeeded: attempt.Open}
		switch {
		case strings.HasPrefix(attempt.Name, attemptPublicName):
			result.Succeeded = true // the answer is that the name does not exist
		case !attempt.Open:
			result.Error = "i/o timeout"
		case attempt.Name == attemptCapturedName:
			result.Addresses = []string{"127.128.3.7"}
		case attempt.Kind == probe.Resolve:
			result.Addresses = []string{statetest.ServiceHost}
		case attempt.URL == names.ProbeURL:
			result.Status, result.Header = 403, map[string]string{names.HeaderTenant: in.Tenant.Name, names.HeaderRevision: explain.Revision(in.Tenant)}
		default:
			result.Status, result.Body = 200, `{"origin": "203.0.113.50"}`
		}
		report.Results = append(report.Results, result)
	}
	return report
}

// set changes a result of the report.
func set(in *Input, prefix string, change func(*probe.Result)) {
	for i := range in.Report.Results {
		if strings.HasPrefix(in.Report.Results[i].Name, prefix) {
			change(&in.Report.Results[i])
		}
	}
}

func succeed(result *probe.Result) { result.Succeeded, result.Error = true, "" }

func failed(r Result) (names []string) {
	for _, check := range r.Checks {
		if check.Outcome == Failed {
			names = append(names, check.Name)
		}
	}
	return names
}

// requireSkipped requires that these checks are skipped, and that all others pass.
func requireSkipped(t *testing.T, result Result, skipped ...string) {
	t.Helper()
	for _, check := range result.Checks {
		if want := map[bool]Outcome{true: Skipped, false: Passed}[slices.Contains(skipped, check.Name)]; check.Outcome != want {
			t.Errorf("%s: %s %s, want %s", check.Name, check.Outcome, check.Message, want)
		}
	}
}

func TestHealthyTenantHasNoFindings(t *testing.T) {
	result := Judge(healthy(t))
	// It has neither a sidecar nor the closed DNS server.
	requireSkipped(t, result, "captured", "closed-dns")
	if len(result.Checks) != 17 {
		t.Errorf("%d checks", len(result.Checks))
	}
}

// Each planted fault is found and named, by the checks that it concerns and by no other.
func TestPlantedFaults(t *testing.T) {
	for name, test := range map[string]struct {
		plant func(*testing.T, *Input)
		want  []string // checks
		says  string   // part of a message
	}{
		"policy deleted, guards off": {func(_ *testing.T, in *Input) {
			delete(in.State.Policies, statetest.Orders)
			in.State.MissingGuards = []string{"own-policy.egress.scw"}
			for _, prefix := range []string{attemptDirect, attemptURLDirect, attemptOtherPort, attemptMetadata, attemptOutsideDNS} {
				set(in, prefix, succeed)
			}
		}, []string{"guards", "policy", "direct", "other-ports", "metadata", "outside-dns"}, "namespace/orders has no NetworkPolicy egress-scw"},
		"wrong port: the proxy serves another tenant there": {func(_ *testing.T, in *Input) {
			set(in, attemptOwnPort, func(r *probe.Result) {
				r.Header = map[string]string{names.HeaderTenant: "client-b", names.HeaderRevision: explain.Revision(in.State.Tenant("client-b"))}
			})
		}, []string{"proxied"}, "the proxy serves tenant client-b at 172.16.28.8:3129"},
		"port that the proxy does not serve": {func(_ *testing.T, in *Input) {
			set(in, attemptOwnPort, func(r *probe.Result) { r.Succeeded, r.Error = false, "connection refused" })
			set(in, attemptURL, func(r *probe.Result) { *r = probe.Result{Name: r.Name, Error: "connection refused"} })
		}, []string{"proxied", "request"}, "the proxy does not answer at 172.16.28.8:3129"},
		"old configuration on the proxy": {func(_ *testing.T, in *Input) {
			set(in, attemptOwnPort, func(r *probe.Result) { r.Header[names.HeaderRevision] = "0123456789abcdef" })
		}, []string{"proxied"}, "serves Revision 0123456789abcdef"},
		"pod older than the label": {func(t *testing.T, in *Input) {
			old, err := coverage.OfPod(in.State, statetest.Pod(statetest.Stock, "old"))
			if err != nil {
				t.Fatal(err)
			}
			in.Pods = append(in.Pods, old)
		}, []string{"pods"}, "pod stock/old: WithoutVariables: no proxy variables in web"},
		"pod of a former address": {func(t *testing.T, in *Input) {
			pod := statetest.Inject(t, in.State, statetest.Pod(statetest.Stock, "former"))
			for i := range pod.Spec.Containers[0].Env {
				pod.Spec.Containers[0].Env[i].Value = strings.ReplaceAll(pod.Spec.Containers[0].Env[i].Value, "10.32.4.31", "10.32.4.40")
			}
			pod.Annotations[names.AnnotationStatus] = `{"tenant":"client-a","hash":"0000000000000000"}`
			former, err := coverage.OfPod(in.State, pod)
			if err != nil {
				t.Fatal(err)
			}
			in.Pods = append(in.Pods, former)
		}, []string{"pods"}, "HTTP_PROXY is http://10.32.4.40:3128"},
		"DNS open": {func(_ *testing.T, in *Input) {
			set(in, attemptOutsideDNS, succeed)
		}, []string{"outside-dns"}, "answered: 1.1.1.1:53"},
		"DNS of the cluster closed": {func(_ *testing.T, in *Input) {
			set(in, attemptClusterDNS, func(r *probe.Result) { *r = probe.Result{Name: r.Name, Error: "i/o timeout"} })
		}, []string{"cluster-dns"}, "kubernetes.default.svc.cluster.local does not resolve"},
		"address not published": {func(_ *testing.T, in *Input) {
			in.State.Settings.Proxy.Egress = settings.EgressAddresses{}
		}, []string{"published"}, "source address is not published"},
		"another address than the published one": {func(_ *testing.T, in *Input) {
			set(in, attemptURL, func(r *probe.Result) { r.Body = "198.51.100.7" })
		}, []string{"address"}, "sees the address 198.51.100.7, and 203.0.113.50 is published"},
		"policy of another client that opens the internet": {func(_ *testing.T, in *Input) {
			in.State.Foreign[statetest.Orders] = []string{"orders/NetworkPolicy mine"}
			set(in, attemptDirect, succeed)
		}, []string{"policy", "direct"}, "orders/NetworkPolicy mine opens egress paths"},
		"policy of another tenant's port": {func(_ *testing.T, in *Input) {
			tenant := in.State.Tenant("client-b")
			in.State.Policies[statetest.Orders] = netpol.Build(tenant, statetest.Orders, in.State.Settings)
			in.State.Policies[statetest.Orders].Labels[names.LabelTenant] = "client-a"
			set(in, attemptOtherPort+"172.16.28.8:3130", succeed)
		}, []string{"policy", "other-ports"}, "reached: 172.16.28.8:3130 of tenant client-b"},
		"webhook configuration removed": {func(_ *testing.T, in *Input) {
			in.Report.Environment = map[string]string{}
		}, []string{"injected"}, `HTTP_PROXY of a new pod is "", want "http://10.32.4.31:3128"`},
		"webhook down": {func(_ *testing.T, in *Input) {
			in.Report, in.NotRun = nil, "the pod was not admitted: failed calling webhook"
		}, []string{"pod"}, "failed calling webhook"},
		"allow list not enforced": {func(_ *testing.T, in *Input) {
			in.Tenant.Spec.Allow.Domains = []string{"api.github.com"}
			in.Report = reportOf(*in)
		}, []string{"request"}, "lets http://httpbin.org/ip pass (status 200), which rule domain denies"},
		"no egress at all on the proxy": {func(_ *testing.T, in *Input) {
			set(in, attemptURL, func(r *probe.Result) { r.Status, r.Body = 503, "" })
		}, []string{"request"}, "status 503"},
		"port of sidecars open": {func(_ *testing.T, in *Input) {
			set(in, attemptOtherPort+"172.16.28.8:3443", succeed)
		}, []string{"other-ports"}, "reached: 172.16.28.8:3443 of sidecars"},
		"tenant with the port of another": {func(_ *testing.T, in *Input) {
			ready := &in.Tenant.Status.Conditions[0]
			ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, string(names.ReasonPortConflict), "Port 3129 is also the port of client-c"
		}, []string{"ready"}, "PortConflict"},
		"no replica of the webhook": {func(_ *testing.T, in *Input) {
			in.State.Webhook.Ready = 0
		}, []string{"ready"}, "deployment/egress-system/egress-webhook has no ready replica"},
		"PodSecurity label removed": {func(_ *testing.T, in *Input) {
			delete(in.State.Namespaces[1].Labels, "pod-security.kubernetes.io/enforce")
		}, []string{"policy"}, "has no label pod-security.kubernetes.io/enforce=baseline"},
		"edited policy": {func(_ *testing.T, in *Input) {
			in.State.Policies[statetest.Stock].Spec.Egress = append(in.State.Policies[statetest.Stock].Spec.Egress, networkingv1.NetworkPolicyEgressRule{})
		}, []string{"policy"}, "namespace/stock NetworkPolicy egress-scw differs"},
	} {
		t.Run(name, func(t *testing.T) {
			in := healthy(t)
			test.plant(t, &in)
			result := Judge(in)
			if got := failed(result); !slices.Equal(got, test.want) {
				t.Errorf("failed: %q, want %q", got, test.want)
			}
			var all strings.Builder
			for _, check := range result.Checks {
				if check.Outcome == Failed {
					all.WriteString(check.Message + "\n")
					if check.Remedy == "" {
						t.Errorf("%s has no remedy", check.Name)
					}
				}
			}
			if !strings.Contains(all.String(), test.says) {
				t.Errorf("no message contains %q:\n%s", test.says, all.String())
			}
		})
	}
}

// An attempt that was not made does not prove that a path is closed.
func TestAttemptsThatWereNotMade(t *testing.T) {
	closed := []string{"direct", "other-ports", "metadata", "outside-dns"}
	in := healthy(t)
	in.Report.Results = slices.DeleteFunc(in.Report.Results, func(r probe.Result) bool { return r.Error != "" })
	if got := failed(Judge(in)); !slices.Equal(got, closed) {
		t.Errorf("without results of closed paths: failed %q, want %q", got, closed)
	}
	in = healthy(t)
	set(&in, attemptOutsideDNS, func(r *probe.Result) {
		*r = probe.Run(t.Context(), probe.Plan{Attempts: []probe.Attempt{{Name: r.Name, Kind: "Sing"}}}).Results[0]
	})
	if got := failed(Judge(in)); !slices.Equal(got, []string{"outside-dns"}) {
		t.Errorf("a kind that the image does not know: failed %q", got)
	}
}

// A list that does not cover the URL: the denial is as it should be, and the address
// cannot be seen.
func TestUncoveredURLSkipsTheAddress(t *testing.T) {
	in := healthy(t)
	in.Tenant.Spec.Allow.Domains = []string{"api.github.com"}
	in.Report = reportOf(in)
	set(&in, attemptURL, func(r *probe.Result) {
		r.Status, r.Header = 403, map[string]string{names.HeaderRevision: explain.Revision(in.Tenant)}
	})
	result := Judge(in)
	if result.Failures() != 0 {
		t.Errorf("failed: %q", failed(result))
	}
	at := slices.IndexFunc(result.Checks, func(c Check) bool { return c.Name == "address" })
	if check := result.Checks[at]; check.Outcome != Skipped || !strings.Contains(check.Message, "--url") {
		t.Errorf("got %+v", check)
	}
}

// The proxy's refusal of a tunnel has no Revision where it inspects tunnels. An origin's own
// 403 in the tunnel is none.
func TestRefusedTunnels(t *testing.T) {
	for name, test := range map[string]struct {
		domains []string
		refused bool
		want    []string
	}{
		"listed, refused":     {[]string{"httpbin.org"}, true, []string{"request"}},
		"listed, passed":      {[]string{"httpbin.org"}, false, nil},
		"not listed, refused": {[]string{"api.github.com"}, true, nil},
		"not listed, passed":  {[]string{"api.github.com"}, false, []string{"request"}},
	} {
		in := healthy(t)
		var err error
		if in.URL, err = explain.ParseTarget("https://httpbin.org/ip"); err != nil {
			t.Fatal(err)
		}
		in.Tenant.Spec.Allow.Domains = test.domains
		in.Report = reportOf(in)
		set(&in, attemptURL, func(r *probe.Result) { r.Status, r.Refused, r.Body = 403, test.refused, "" })
		if got := failed(Judge(in)); !slices.Equal(got, test.want) {
			t.Errorf("%s: failed %q, want %q", name, got, test.want)
		}
	}
}

func TestOutputs(t *testing.T) {
	in := healthy(t)
	set(&in, attemptOutsideDNS, succeed)
	broken := healthy(t)
	broken.Report, broken.NotRun = nil, "the pod was not admitted: exceeded quota"
	results := []Result{Judge(in), Judge(broken)}
	golden.Assert(t, Text(results, false, false), "results.golden.txt")
	golden.Assert(t, Text(results[:1], table.Paint(true), true), "results-wide-colour.golden.txt")
	var junit bytes.Buffer
	if err := WriteJUnit(&junit, results); err != nil {
		t.Fatal(err)
	}
	golden.Assert(t, junit.String(), "results.golden.xml")
}

func TestAddressIn(t *testing.T) {
	for body, want := range map[string]string{
		"203.0.113.50": "203.0.113.50", `{"origin": "203.0.113.50, 10.0.0.1"}`: "203.0.113.50", `{"ip":"2001:db8::1"}`: "2001:db8::1",
		"<html>add a face.</html>": "", "": "", "version 1.2 of 203.0.113.50.": "203.0.113.50",
	} {
		got, found := addressIn(body)
		if found != (want != "") || found && got.String() != want {
			t.Errorf("%q: got %v %v, want %q", body, got, found, want)
		}
	}
}
