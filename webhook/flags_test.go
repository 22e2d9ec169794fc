package main

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"egress.scw/webhook/api/v1alpha1"
)

// good are the flags that a cluster cannot do without.
func good(more ...string) []string {
	return append([]string{"--proxy-address", "172.16.28.8"}, more...)
}

func parse(t *testing.T, args []string) (*settings, error) {
	t.Helper()
	options, err := parseFlags(args)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return options.validate("10.32.0.1", "v0")
}

func TestFlags(t *testing.T) {
	t.Parallel()
	settings, err := parse(t, good("--proxy-address=172.16.28.9,2001:db8::9", "--cluster-cidr=10.32.0.0/20", "--cluster-cidr=100.64.0.0/15",
		"--node-local-dns=169.254.20.10", "--dns-pod-labels=app=dns", "--dns-namespace=dns", "--cluster-domain=blue.example.internal",
		"--log-level=debug", "--metrics-bind-address=0", "--health-probe-bind-address=127.0.0.1:0", "--webhook-bind-address=::1"))
	if err != nil {
		t.Fatal(err)
	}
	var proxies []string
	for _, address := range settings.policy.ProxyAddresses {
		proxies = append(proxies, address.String())
	}
	if got := strings.Join(proxies, " "); got != "172.16.28.8 172.16.28.9 2001:db8::9" {
		t.Errorf("proxies are %s", got)
	}
	tenant := &v1alpha1.EgressTenant{Spec: v1alpha1.EgressTenantSpec{Proxy: v1alpha1.ProxySpec{Port: 3129}}}
	if got := settings.injection.ProxyURL(tenant); got != "http://172.16.28.8:3129" {
		t.Errorf("pods are given %s, want the first proxy", got)
	}
	if settings.logLevel != slog.LevelDebug {
		t.Errorf("level is %s", settings.logLevel)
	}
	if settings.policy.DNSNamespace != "dns" || settings.policy.DNSPodLabels["app"] != "dns" || settings.policy.NodeLocalDNS.String() != "169.254.20.10" {
		t.Errorf("DNS is %+v", settings.policy)
	}
}

func TestEgressAddresses(t *testing.T) {
	t.Parallel()
	settings, err := parse(t, good("--egress-address=203.0.113.50", "--egress-address=client-a=203.0.113.51,2001:db8::50"))
	if err != nil {
		t.Fatal(err)
	}
	tenant := &v1alpha1.EgressTenant{ObjectMeta: metav1.ObjectMeta{Name: "client-a"}}
	if got := settings.egress.Of(tenant); !slices.Equal(got, []string{"203.0.113.50", "2001:db8::50"}) {
		t.Errorf("shared are %q", got)
	}
	tenant.Spec.Proxy.EgressIP = v1alpha1.EgressIPDedicated
	if got := settings.egress.Of(tenant); !slices.Equal(got, []string{"203.0.113.51"}) {
		t.Errorf("the tenant's own are %q", got)
	}
	_, err = parse(t, good("--egress-address=203.0.113.50,client-a=203.0.113.50", "--log-level=loud"))
	for _, want := range []string{`--egress-address[1]: Duplicate value: "client-a=203.0.113.50"`, "--log-level"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the error: %v", want, err)
		}
	}
}

// wrongValues has a wrong value for every flag that can have one.
func wrongValues() map[string]string {
	return map[string]string{
		"proxy-address":             "proxy.internal",
		"egress-address":            "client-a=",
		"cluster-domain":            "no domain",
		"cluster-cidr":              "10.32.0.0",
		"dns-namespace":             "Kube_System",
		"dns-pod-labels":            "kube-dns",
		"node-local-dns":            "local",
		"protected-namespace":       "Kube_System",
		"webhook-bind-address":      "localhost",
		"webhook-port":              "65536",
		"cert-dir":                  "",
		"metrics-bind-address":      "8080",
		"health-probe-bind-address": ":http",
		"leader-election-namespace": "a/b",
		"log-level":                 "loud",
	}
}

func TestWrongFlags(t *testing.T) {
	t.Parallel()
	wrong := wrongValues()
	newFlagSet(&options{}).VisitAll(func(flag *pflag.Flag) {
		value, ok := wrong[flag.Name]
		if !ok && flag.Value.Type() != "bool" {
			t.Errorf("nothing is wrong for --%s", flag.Name)
		}
		if !ok {
			return
		}
		t.Run(flag.Name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(t, good("--"+flag.Name+"="+value))
			if err == nil || !strings.Contains(err.Error(), "\n  --"+flag.Name) {
				t.Errorf("the error does not name the flag: %v", err)
			}
			if err != nil && strings.Count(err.Error(), "\n") != 2 {
				t.Errorf("more is said than that one flag is wrong: %v", err)
			}
		})
	})
}

func TestWrongFlagsAllAtOnce(t *testing.T) {
	t.Parallel()
	var args, want []string
	for name, value := range wrongValues() {
		args = append(args, "--"+name+"="+value)
		want = append(want, "--"+name)
	}
	options, err := parseFlags(args)
	if err != nil {
		t.Fatal(err)
	}
	_, err = options.validate("", "v0")
	want = append(want, "environment variable KUBERNETES_SERVICE_HOST")
	for _, name := range want {
		if err == nil || !strings.Contains(err.Error(), "\n  "+name) {
			t.Errorf("%s is not in the error: %v", name, err)
		}
	}
}

func TestProtectedNamespaces(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ args, want []string }{
		"by default": {nil, []string{"kube-system"}},
		"given":      {[]string{"--protected-namespace=pki", "--protected-namespace=kube-system,egress-system"}, []string{"egress-system", "kube-system", "pki"}},
		"none":       {[]string{"--protected-namespace="}, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings, err := parse(t, good(test.args...))
			if err != nil {
				t.Fatal(err)
			}
			if got := sets.List(settings.protected); !slices.Equal(got, test.want) {
				t.Errorf("protected are %q, want %q", got, test.want)
			}
		})
	}
}

func TestProxyAddressIsRequired(t *testing.T) {
	t.Parallel()
	_, err := parse(t, nil)
	if err == nil || strings.Count(err.Error(), "--proxy-address") != 1 {
		t.Errorf("the error is %v, want one about --proxy-address", err)
	}
}

func TestUnusableCommandLines(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"unknown flag":  {good("--proxy-port=3128"), "unknown flag: --proxy-port (see webhook --help)"},
		"no number":     {good("--webhook-port=https"), `invalid argument "https" for "--webhook-port"`},
		"no value":      {good("--cert-dir"), "flag needs an argument: --cert-dir"},
		"argument":      {good("run"), `unknown argument "run"`},
		"no truth":      {good("--leader-elect=perhaps"), `invalid argument "perhaps" for "--leader-elect"`},
		"shorthand":     {good("-p"), "unknown shorthand flag"},
		"one dash only": {[]string{"-proxy-address=172.16.28.8"}, "unknown shorthand flag"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseFlags(test.args)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
}

// TestHelpTeaches: every flag is explained, and the example works.
func TestHelpTeaches(t *testing.T) {
	t.Parallel()
	if _, err := parseFlags([]string{"--help"}); !errors.Is(err, pflag.ErrHelp) {
		t.Errorf("--help gives %v", err)
	}
	text := help()
	newFlagSet(&options{}).VisitAll(func(flag *pflag.Flag) {
		if flag.Usage == "" || !strings.Contains(text, "--"+flag.Name) {
			t.Errorf("--%s is not explained", flag.Name)
		}
	})
	_, example, found := strings.Cut(text, "\n  webhook ")
	example, _, _ = strings.Cut(example, "\n\n")
	args := slices.DeleteFunc(strings.Fields(example), func(word string) bool { return word == `\` })
	if !found || len(args) < 4 {
		t.Fatalf("no example in:\n%s", text)
	}
	if _, err := parse(t, args); err != nil {
		t.Errorf("the example %q: %v", args, err)
	}
}
