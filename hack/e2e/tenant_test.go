package e2e

import (
	"slices"
	"strings"
	"testing"

	"egress.scw/hack/environment"
)

// What the container's own process was started with, not what the API shows.
func TestProcessesHaveTheProxyInTheirEnvironment(t *testing.T) {
	requireEnvironment(t)
	for namespace, port := range map[string]string{namespaceA: "3129", namespaceB: "3130"} {
		out, err := probe(t.Context(), namespace, "environment")
		if err != nil {
			t.Fatal(err)
		}
		variables := lines(out)
		for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
			if want := name + "=http://172.16.28.8:" + port; !slices.Contains(variables, want) {
				t.Errorf("%s: no %s in\n%s", namespace, want, out)
			}
		}
		for _, name := range []string{"NO_PROXY", "no_proxy"} {
			i := slices.IndexFunc(variables, func(v string) bool { return strings.HasPrefix(v, name+"=") })
			if i < 0 {
				t.Errorf("%s: no %s in\n%s", namespace, name, out)
				continue
			}
			entries := strings.Split(strings.TrimPrefix(variables[i], name+"="), ",")
			for _, want := range []string{"localhost", "10.96.0.1", "cluster.local", ".cluster.local", namespace, "10.244.0.0/16"} {
				if !slices.Contains(entries, want) {
					t.Errorf("%s: no %s in %s", namespace, want, variables[i])
				}
			}
		}
	}
}

func TestTenantsLeaveThroughTheProxy(t *testing.T) {
	requireEnvironment(t)
	for namespace, tenant := range map[string]string{namespaceA: "client-a", namespaceB: "client-b"} {
		for _, url := range []string{"http://" + environment.IPEchoName + "/", "https://" + environment.IPEchoName + "/"} {
			_, position, err := shared.Audit(0)
			if err != nil {
				t.Fatal(err)
			}
			out, err := probe(t.Context(), namespace, "get", url)
			if err != nil {
				t.Errorf("%s: %s: %v", namespace, url, err)
				continue
			}
			if got := lines(out); !slices.Equal(got, []string{"200", shared.Plan.ProxyPublic.String()}) {
				t.Errorf("%s: %s: %q; want 200 and the proxy's address %s", namespace, url, got, shared.Plan.ProxyPublic)
			}
			eventually(t, "the proxy's note of the request", func() (bool, string) {
				records, _, err := shared.Audit(position)
				if err != nil {
					t.Fatal(err)
				}
				for _, record := range records {
					if record.Host == environment.IPEchoName && record.Tenant == tenant {
						return true, ""
					}
				}
				return false, "no line of " + tenant
			})
		}
	}
}

func TestTenantsReachTheirOwnPods(t *testing.T) {
	requireEnvironment(t)
	for _, destination := range []string{namespaceA, namespaceAlsoA} {
		if _, err := probe(t.Context(), namespaceA, "dial", "tcp", podIP(t, destination)+":8080"); err != nil {
			t.Errorf("from %s to %s: %v", namespaceA, destination, err)
		}
	}
}

func TestNothingChangesWithoutTheLabel(t *testing.T) {
	requireEnvironment(t)
	out, err := probe(t.Context(), namespacePlain, "environment")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(strings.ToLower(out), "proxy") {
		t.Errorf("a pod without a tenant got a proxy:\n%s", out)
	}
	policies, err := kubectl(t.Context(), "--namespace="+namespacePlain, "get", "networkpolicies", "-o", "name")
	if err != nil || policies != "" {
		t.Errorf("a namespace without a tenant has policies: %q, %v", policies, err)
	}
	out, err = probe(t.Context(), namespacePlain, "get", "http://"+environment.IPEchoName+"/")
	if err != nil {
		t.Fatal(err)
	}
	if got := lines(out); !slices.Equal(got, []string{"200", shared.Plan.GatewayPublic.String()}) {
		t.Errorf("without a tenant: %q; want 200 and the gateway's address %s", got, shared.Plan.GatewayPublic)
	}
}
