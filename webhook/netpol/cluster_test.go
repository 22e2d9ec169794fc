package netpol

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
)

func validOptions() Options {
	return Options{ProxyAddresses: []string{"172.16.28.8"}, DNSNamespace: "kube-system", DNSPodLabels: "k8s-app=kube-dns"}
}

func TestNewCluster(t *testing.T) {
	t.Parallel()
	got, err := NewCluster(Options{
		ProxyAddresses: []string{"172.16.28.8", "::ffff:172.16.28.9", "2001:DB8::8"},
		DNSNamespace:   "dns",
		DNSPodLabels:   "k8s-app=kube-dns, tier=dns",
		NodeLocalDNS:   "169.254.20.10",
	})
	want := Cluster{
		ProxyAddresses: []netip.Addr{netip.MustParseAddr("172.16.28.8"), netip.MustParseAddr("172.16.28.9"), netip.MustParseAddr("2001:db8::8")},
		DNSNamespace:   "dns",
		DNSPodLabels:   map[string]string{"k8s-app": "kube-dns", "tier": "dns"},
		NodeLocalDNS:   netip.MustParseAddr("169.254.20.10"),
	}
	if err != nil {
		t.Fatalf("NewCluster: %v", err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("cluster (-want +got):\n%s", diff)
	}
}

func TestNewClusterRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*Options)
		want   []string // what each error starts with
	}{
		"no proxy":              {func(o *Options) { o.ProxyAddresses = nil }, []string{"proxyAddresses: Required value"}},
		"proxy by name":         {func(o *Options) { o.ProxyAddresses = []string{"proxy.internal"} }, []string{`proxyAddresses[0]: Invalid value: "proxy.internal": must be an IP address`}},
		"proxy with port":       {func(o *Options) { o.ProxyAddresses = []string{"172.16.28.8:3129"} }, []string{"proxyAddresses[0]: Invalid value"}},
		"proxy with length":     {func(o *Options) { o.ProxyAddresses = []string{"172.16.28.8/32"} }, []string{"proxyAddresses[0]: Invalid value"}},
		"proxy with zone":       {func(o *Options) { o.ProxyAddresses = []string{"fe80::1%eth0"} }, []string{"proxyAddresses[0]: Invalid value"}},
		"proxy everywhere":      {func(o *Options) { o.ProxyAddresses = []string{"0.0.0.0"} }, []string{"proxyAddresses[0]: Invalid value"}},
		"proxy on loopback":     {func(o *Options) { o.ProxyAddresses = []string{"127.0.0.1"} }, []string{"proxyAddresses[0]: Invalid value"}},
		"proxy on mapped loop":  {func(o *Options) { o.ProxyAddresses = []string{"::ffff:127.0.0.1"} }, []string{"proxyAddresses[0]: Invalid value"}},
		"proxy is metadata":     {func(o *Options) { o.ProxyAddresses = []string{"169.254.42.42"} }, []string{"proxyAddresses[0]: Invalid value"}},
		"proxy to everybody":    {func(o *Options) { o.ProxyAddresses = []string{"255.255.255.255"} }, []string{"proxyAddresses[0]: Invalid value"}},
		"proxy twice":           {func(o *Options) { o.ProxyAddresses = []string{"172.16.28.8", "::ffff:172.16.28.8"} }, []string{"proxyAddresses[1]: Duplicate value"}},
		"no namespace":          {func(o *Options) { o.DNSNamespace = "" }, []string{`dnsNamespace: Invalid value: ""`}},
		"no namespace's name":   {func(o *Options) { o.DNSNamespace = "Kube_System" }, []string{`dnsNamespace: Invalid value: "Kube_System"`}},
		"no labels":             {func(o *Options) { o.DNSPodLabels = "" }, []string{"dnsPodLabels: Required value"}},
		"a label without value": {func(o *Options) { o.DNSPodLabels = "k8s-app" }, []string{`dnsPodLabels: Invalid value: "k8s-app"`}},
		"a label's bad value":   {func(o *Options) { o.DNSPodLabels = "k8s-app=kube dns" }, []string{"dnsPodLabels: Invalid value"}},
		"node-local multicast":  {func(o *Options) { o.NodeLocalDNS = "224.0.0.1" }, []string{`nodeLocalDNS: Invalid value: "224.0.0.1"`}},
		"node-local with zone":  {func(o *Options) { o.NodeLocalDNS = "fe80::1%eth0" }, []string{"nodeLocalDNS: Invalid value"}},
		"everything at once": {
			func(o *Options) { *o = Options{ProxyAddresses: []string{"x", "y"}, NodeLocalDNS: "z"} },
			[]string{"proxyAddresses[0]: Invalid", "proxyAddresses[1]: Invalid", "dnsNamespace: Invalid", "dnsPodLabels: Required", "nodeLocalDNS: Invalid"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := validOptions()
			test.change(&options)
			cluster, err := NewCluster(options)
			if cluster.ProxyAddresses != nil {
				t.Errorf("a cluster comes with the errors: %+v", cluster)
			}
			var all utilerrors.Aggregate
			if !errors.As(err, &all) || len(all.Errors()) != len(test.want) {
				t.Fatalf("got %v, want %d errors", err, len(test.want))
			}
			for i, want := range test.want {
				if got := all.Errors()[i].Error(); !strings.HasPrefix(got, want) {
					t.Errorf("error %d is %q, want %q…", i, got, want)
				}
			}
		})
	}
}
