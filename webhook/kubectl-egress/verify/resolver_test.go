package verify

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/kubectl-egress/coverage"
	"egress.scw/webhook/kubectl-egress/explain"
	"egress.scw/webhook/kubectl-egress/statetest"
	"egress.scw/webhook/probe"
	"egress.scw/webhook/settings"
)

// Addresses of the DNS servers of the cluster, and of the closed one.
const (
	clusterDNS = "10.32.0.10"
	closedDNS  = "10.32.0.11"
)

// healthySidecars is healthy where the pods of both tenants have sidecars, and no port
// of a tenant accepts connections.
func healthySidecars(t *testing.T, capture v1alpha1.Capture, dns v1alpha1.DNS) Input {
	t.Helper()
	in := healthy(t)
	in.State.Settings.Proxy.Identity, in.State.Settings.Sidecar.Image = v1alpha1.IdentityRequired, "sidecar"
	in.State.Settings.Proxy.Machines = []settings.Machine{{Address: in.State.Settings.Proxy.Addresses[0]}}
	in.State.Settings.DNS.Closed = &settings.ClosedDNS{
		Address: netip.MustParseAddr(closedDNS),
		Pods:    settings.DNSPods{Namespace: "egress-system", PodLabels: map[string]string{"app": "dns"}, Ports: []uint16{5353}},
	}
	for name, address := range map[string]string{"kube-dns": clusterDNS, "closed-dns": closedDNS, "metrics": "10.32.0.12"} {
		service := corev1.Service{}
		service.Namespace, service.Name, service.Spec.ClusterIP = "kube-system", name, address
		service.Spec.Ports = []corev1.ServicePort{{Port: 443, Protocol: corev1.ProtocolTCP}}
		if name != "metrics" {
			service.Spec.Ports = []corev1.ServicePort{{Port: 53, Protocol: corev1.ProtocolUDP}}
		}
		in.State.Services = append(in.State.Services, service)
	}
	for i := range in.State.Tenants {
		in.State.Tenants[i].Spec.Sidecar, in.State.Tenants[i].Spec.DNS = &v1alpha1.Sidecar{Capture: capture}, dns
	}
	for name := range in.State.Policies {
		namespace, _ := in.State.Namespace(name)
		in.State.Policies[name] = in.State.WantedPolicy(namespace)
	}
	pod, err := coverage.OfPod(in.State, statetest.Inject(t, in.State, statetest.Pod(statetest.Orders, "web")))
	if err != nil {
		t.Fatal(err)
	}
	in.Pods, in.Report = []coverage.Pod{pod}, reportOf(in)
	return in
}

// planned returns the names of the attempts with a prefix.
func planned(in Input, prefix string) (found []string) {
	for _, attempt := range Plan(in).Attempts {
		if strings.HasPrefix(attempt.Name, prefix) {
			found = append(found, attempt.Name)
		}
	}
	return found
}

// A pod of a tenant with sidecars asks its proxy through the sidecar, also where the
// tenant's port is closed. With capture, the pod requests the URL without the proxy, and
// has to get an answer.
func TestHealthyTenantWithSidecars(t *testing.T) {
	for name, test := range map[string]struct {
		capture v1alpha1.Capture
		dns     v1alpha1.DNS
		skipped []string
		planned map[string][]string // by prefix
	}{
		"by variables": {v1alpha1.CaptureNone, v1alpha1.DNSCluster, []string{"captured", "closed-dns"}, map[string][]string{
			"URL": {attemptURL, attemptURLDirect}, attemptCapturedName: nil, attemptOutsideDNS: {attemptOutsideDNS + "1.1.1.1:53"}, attemptPublicName: nil,
		}},
		"by variables, DNS closed": {v1alpha1.CaptureNone, v1alpha1.DNSClosed, []string{"captured"}, map[string][]string{
			"URL": {attemptURL, attemptURLDirect}, attemptPublicName: {attemptPublicName + closedDNS + ":53", attemptPublicName + ownResolver},
		}},
		"by capture": {v1alpha1.CaptureNames, v1alpha1.DNSCluster, []string{"closed-dns"}, map[string][]string{
			"URL": {attemptURL, attemptURLCaptured}, attemptCapturedName: {attemptCapturedName}, attemptOutsideDNS: {attemptOutsideDNS + "1.1.1.1:53"},
		}},
		"by capture, DNS closed": {v1alpha1.CaptureNames, v1alpha1.DNSClosed, nil, map[string][]string{
			"URL": {attemptURL, attemptURLCaptured}, attemptPublicName: {attemptPublicName + closedDNS + ":53"},
			attemptOutsideDNS: {attemptOutsideDNS + "1.1.1.1:53", attemptOutsideDNS + clusterDNS + ":53"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			in := healthySidecars(t, test.capture, test.dns)
			requireSkipped(t, Judge(in), test.skipped...)
			for prefix, want := range test.planned {
				if got := planned(in, prefix); !slices.Equal(got, want) {
					t.Errorf("attempts %q: got %q, want %q", prefix, got, want)
				}
			}
			set(&in, attemptOwnPort+"127.0.0.1:3128", func(r *probe.Result) { r.Status, r.Header = 503, nil })
			if got := failed(Judge(in)); !slices.Equal(got, []string{"proxied"}) {
				t.Errorf("a sidecar without a machine: failed %q", got)
			}
		})
	}
}

// A node-local cache is a server that a tenant with the closed one must not reach.
func TestNodeLocalCacheIsAnotherServer(t *testing.T) {
	in := healthySidecars(t, v1alpha1.CaptureNone, v1alpha1.DNSClosed)
	in.State.Settings.DNS.NodeLocal = netip.MustParseAddr("169.254.20.10")
	if got := planned(in, attemptOutsideDNS); !slices.Contains(got, attemptOutsideDNS+"169.254.20.10:53") {
		t.Errorf("attempts: %q", got)
	}
}

// Each planted fault of capture and of the closed DNS server is found and named.
func TestPlantedFaultsOfNames(t *testing.T) {
	for name, test := range map[string]struct {
		plant func(*Input)
		want  []string // checks
		says  string   // part of a message
	}{
		"the pod's DNS server is not the sidecar": {func(in *Input) {
			set(in, attemptCapturedName, func(r *probe.Result) { r.Addresses = []string{"203.0.113.9"} })
			set(in, attemptURLCaptured, func(r *probe.Result) { *r = probe.Result{Name: r.Name, Error: "i/o timeout"} })
		}, []string{"captured"}, "httpbin.org resolves to 203.0.113.9, which is no address of captured names (127.128.0.0/9)"},
		"the sidecar does not resolve": {func(in *Input) {
			set(in, attemptCapturedName, func(r *probe.Result) { *r = probe.Result{Name: r.Name, Error: "connection refused"} })
		}, []string{"captured"}, "httpbin.org does not resolve: connection refused"},
		"the sidecar does not capture the port": {func(in *Input) {
			set(in, attemptURLCaptured, func(r *probe.Result) { *r = probe.Result{Name: r.Name, Error: "connection refused"} })
		}, []string{"captured"}, "http://httpbin.org/ip got no answer by its name alone, without proxy variables: connection refused"},
		"captured, and denied": {func(in *Input) {
			set(in, attemptURLCaptured, func(r *probe.Result) {
				r.Status, r.Header = 403, map[string]string{names.HeaderRevision: explain.Revision(in.Tenant)}
			})
		}, []string{"captured"}, "the proxy denies http://httpbin.org/ip, which the allow list covers"},
		"captured, and not denied": {func(in *Input) {
			in.Tenant.Spec.Allow.Domains = []string{"api.github.com"}
			in.Report = reportOf(*in)
			set(in, attemptURL, func(r *probe.Result) {
				*r = probe.Result{Name: r.Name, Succeeded: true, Status: 403, Header: map[string]string{names.HeaderRevision: explain.Revision(in.Tenant)}}
			})
			set(in, attemptURLCaptured, func(r *probe.Result) { *r = probe.Result{Name: r.Name, Succeeded: true, Status: 200} })
		}, []string{"captured"}, "the proxy lets http://httpbin.org/ip pass (status 200), which rule domain denies"},
		"the closed DNS server asks others": {func(in *Input) {
			set(in, attemptPublicName, func(r *probe.Result) { r.Addresses = []string{"203.0.113.9"} })
		}, []string{"closed-dns"}, "httpbin.org resolves to 203.0.113.9 by 10.32.0.11:53"},
		"the cluster's DNS open": {func(in *Input) {
			set(in, attemptOutsideDNS+clusterDNS, succeed)
		}, []string{"outside-dns"}, "answered: 10.32.0.10:53"},
	} {
		t.Run(name, func(t *testing.T) {
			in := healthySidecars(t, v1alpha1.CaptureNames, v1alpha1.DNSClosed)
			test.plant(&in)
			result := Judge(in)
			if got := failed(result); !slices.Equal(got, test.want) {
				t.Fatalf("failed: %q, want %q", got, test.want)
			}
			at := slices.IndexFunc(result.Checks, func(c Check) bool { return c.Outcome == Failed })
			if check := result.Checks[at]; check.Message != test.says || check.Remedy == "" {
				t.Errorf("got %q, remedy %q; want %q", check.Message, check.Remedy, test.says)
			}
		})
	}
}

// A captured connection that the proxy denies is reset: that is no fault. It is not
// repeated, as a request that has to succeed is.
func TestDeniedURLIsReset(t *testing.T) {
	in := healthySidecars(t, v1alpha1.CaptureNames, v1alpha1.DNSCluster)
	in.Tenant.Spec.Allow.Domains = []string{"api.github.com"}
	in.Report = reportOf(in)
	set(&in, attemptURL, func(r *probe.Result) {
		*r = probe.Result{Name: r.Name, Succeeded: true, Status: 403, Header: map[string]string{names.HeaderRevision: explain.Revision(in.Tenant)}}
	})
	requireSkipped(t, Judge(in), "address", "closed-dns")
	for _, attempt := range Plan(in).Attempts {
		if attempt.Name == attemptURLCaptured && attempt.Open {
			t.Error("the attempt is repeated")
		}
	}
}

// A URL that the sidecar does not capture proves nothing: the check is skipped, and the
// URL must not be reached directly.
func TestURLThatIsNotCaptured(t *testing.T) {
	for _, host := range []string{"203.0.113.9", "intranet.example.com"} {
		in := healthySidecars(t, v1alpha1.CaptureNames, v1alpha1.DNSClosed)
		in.Tenant.Spec.NoProxy = []string{"example.com"}
		target, err := explain.ParseTarget("http://" + host + "/ip")
		if err != nil {
			t.Fatal(err)
		}
		in.URL = target
		result := Judge(in)
		at := slices.IndexFunc(result.Checks, func(c Check) bool { return c.Name == "captured" })
		if check := result.Checks[at]; check.Outcome != Skipped || !strings.Contains(check.Message, "--url") {
			t.Errorf("%s: got %+v", host, check)
		}
		if got := planned(in, "URL"); !slices.Equal(got, []string{attemptURL, attemptURLDirect}) {
			t.Errorf("%s: attempts %q", host, got)
		}
	}
}
