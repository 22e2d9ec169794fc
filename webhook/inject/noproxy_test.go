package inject

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http/httpproxy"

	"egress.scw/webhook/api/v1alpha1"
)

// TestNoProxyInGo reads NO_PROXY as Go's HTTP client does.
func TestNoProxyInGo(t *testing.T) {
	t.Parallel()
	tenant := &v1alpha1.EgressTenant{}
	tenant.Name, tenant.Spec.Proxy = "client-a", &v1alpha1.TenantProxy{Port: 3129}
	tenant.Spec.ClusterAccess = []v1alpha1.ClusterAccess{{Namespace: "observability", Ports: []int32{3100}}}
	template, err := NewTemplate(exampleCluster(t), tenant, "orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	entries := template.noProxy.Entries()
	proxyFor := (&httpproxy.Config{HTTPProxy: "http://172.16.28.8:3129", HTTPSProxy: "http://172.16.28.8:3129", NoProxy: strings.Join(entries, ",")}).ProxyFunc()
	for address, direct := range map[string]bool{
		"http://0.0.0.0:9090/": true, "http://[::]:9090/": true, "http://127.0.0.1/": true, "http://[::1]/": true,
		"http://backend.orders/": true, "http://backend.orders.svc/": true, "http://backend.orders.svc.cluster.local./": true,
		"http://loki.observability/": true,
		"https://example.com/":       false, "https://preorders/": false, "https://orders.example.com/": false,
	} {
		target, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := proxyFor(target)
		if err != nil {
			t.Fatal(err)
		}
		if (proxy == nil) != direct {
			t.Errorf("%s: the proxy is %v, want direct %t", address, proxy, direct)
		}
	}
	// Go compares whole labels. Clients that do not would take "orders" for the end
	// of preorders.example.
	for _, namespace := range []string{"orders", "observability"} {
		if slices.Contains(entries, namespace) || !slices.Contains(entries, "."+namespace) {
			t.Errorf("NO_PROXY has namespace %s in the wrong form: %v", namespace, entries)
		}
	}
}
