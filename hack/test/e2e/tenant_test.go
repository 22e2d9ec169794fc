package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"egress.scw/hack/local/environment"
)

// The variables with which the container's own process was started, not those
// in the API.
func TestProcessesHaveTheProxyInTheirEnvironment(t *testing.T) {
	requireEnvironment(t)
	for namespace, tenant := range map[string]string{namespaceA: "client-a", namespaceB: "client-b"} {
		out, err := probe(t.Context(), namespace, "environment")
		if err != nil {
			t.Fatal(err)
		}
		variables := lines(out)
		for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
			if want := name + "=" + proxyURL(t, tenant); !slices.Contains(variables, want) {
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
			for _, want := range []string{"localhost", "10.96.0.1", "cluster.local", ".cluster.local", "." + namespace, "10.244.0.0/16"} {
				if !slices.Contains(entries, want) {
					t.Errorf("%s: no %s in %s", namespace, want, variables[i])
				}
			}
		}
	}
}

// Each tenant by the address that bootstrap got for it: client-b has its own.
func TestTenantsEgressThroughTheProxy(t *testing.T) {
	requireEnvironment(t)
	if a, b := egressAddress(t, "client-a"), egressAddress(t, "client-b"); a == b {
		t.Errorf("both tenants have the egress address %s", a)
	}
	for namespace, tenant := range map[string]string{namespaceA: "client-a", namespaceB: "client-b"} {
		for _, url := range []string{"http://" + environment.IPEchoName + "/", "https://" + environment.IPEchoName + "/"} {
			_, position, err := shared.Audit(0)
			if err != nil {
				t.Fatal(err)
			}
			egress := egressAddress(t, tenant)
			requireSource(t, namespace, egress, "get", url)
			eventually(t, "the proxy's note of the request", func() (bool, string) {
				records, _, err := shared.Audit(position)
				if err != nil {
					t.Fatal(err)
				}
				for _, record := range records {
					if record.Host == environment.IPEchoName && record.Tenant == tenant && record.Egress == egress {
						return true, ""
					}
				}
				return false, fmt.Sprintf("no line of %s with %s in %+v", tenant, egress, records)
			})
		}
	}
}

// The status contains the address that the internet sees.
func TestTenantsShowTheirEgressAddress(t *testing.T) {
	requireEnvironment(t)
	tenants, err := shared.Tenants()
	if err != nil {
		t.Fatal(err)
	}
	for _, tenant := range tenants {
		want := egressAddress(t, tenant.Name)
		eventually(t, "the status of "+tenant.Name, func() (bool, string) {
			out, err := kubectl(t.Context(), "get", "egresstenant", tenant.Name, "-o", "jsonpath={.status.sourceAddresses[*]}")
			if err != nil {
				t.Fatal(err)
			}
			return out == want, fmt.Sprintf("sourceAddresses: %s; want %s", out, want)
		})
	}
}

// egressAddress is the address that bootstrap got for a tenant.
func egressAddress(t *testing.T, tenant string) string {
	t.Helper()
	address, err := shared.EgressAddress(tenant)
	if err != nil {
		t.Fatal(err)
	}
	return address.String()
}

func TestTenantsReachTheirOwnPods(t *testing.T) {
	requireEnvironment(t)
	for _, destination := range []string{namespaceA, namespaceAlsoA} {
		requireDial(t, namespaceA, podIP(t, destination)+":8080")
	}
}

func TestNamespaceWithoutLabelIsUnchanged(t *testing.T) {
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
	requireSource(t, namespacePlain, shared.Plan.GatewayPublic.String(), "get", "http://"+environment.IPEchoName+"/")
}
