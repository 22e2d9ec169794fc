package e2e

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"egress.scw/hack/local/environment"
	"egress.scw/webhook/api/names"
)

// sidecarTenant is a tenant whose pods have sidecars. Its namespace has its name.
type sidecarTenant struct {
	name, port, allow, spec string
	captures                bool
}

// Both may reach the IP echo and nothing else.
var (
	// byVariables uses the proxy by its variables.
	byVariables = sidecarTenant{"client-v", "3140", "{domains: [" + environment.IPEchoName + "]}", "sidecar: {}", false}
	// byNames captures names, and has no DNS but that of the cluster.
	byNames = sidecarTenant{"client-n", "3141", "{domains: [" + environment.IPEchoName + "]}", "sidecar: {capture: Names}, dns: Closed", true}
)

func (s sidecarTenant) fields() string {
	return fmt.Sprintf("proxy: {port: %s}, allow: %s, %s", s.port, s.allow, s.spec)
}

// applyTenant writes the tenant's EgressTenant.
func applyTenant(ctx context.Context, t *testing.T, tenant sidecarTenant) {
	t.Helper()
	manifest := fmt.Sprintf("apiVersion: egress.scw/v1alpha1\nkind: EgressTenant\nmetadata: {name: %s}\nspec: {%s}\n", tenant.name, tenant.fields())
	if err := shared.Apply(ctx, manifest); err != nil {
		t.Fatal(err)
	}
}

// deploySidecars brings up tenants: their EgressTenants and namespaces, the proxy's
// configuration with the authority that the cluster has published, and a pod of each. It
// returns when the pods reach the IP echo, which their lists must have.
func deploySidecars(t *testing.T, tenants ...sidecarTenant) {
	t.Helper()
	var items string
	for _, tenant := range tenants {
		items += fmt.Sprintf("    - {name: %s, %s}\n", tenant.name, tenant.fields())
		applyTenant(t.Context(), t, tenant)
		if err := shared.ApplyNamespace(t.Context(), tenant.name, tenant.name); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { removeSidecars(t, tenants) })
	for _, tenant := range tenants {
		eventually(t, "the certificate of "+tenant.name, func() (bool, string) {
			out, err := kubectl(t.Context(), "--namespace="+tenant.name, "get", "secret", names.SidecarName, "-o", "name")
			return err == nil, fmt.Sprint(out, err)
		})
	}
	eventually(t, "the authority of the certificates", func() (bool, string) {
		out, err := kubectl(t.Context(), "--namespace=egress-system", "get", "configmap", names.AuthorityConfigMap, "-o", "name")
		return err == nil, fmt.Sprint(out, err)
	})
	apply(t, withTenant(t, items))
	for _, tenant := range tenants {
		eventually(t, tenant.name+" to be ready", func() (bool, string) {
			out, err := kubectl(t.Context(), "get", "egresstenant", tenant.name, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")]}`)
			return err == nil && strings.Contains(out, `"status":"True"`), fmt.Sprint(out, err)
		})
		if err := deployProbe(t.Context(), tenant.name); err != nil {
			t.Fatal(err)
		}
	}
	for _, tenant := range tenants {
		if out, err := kubectl(t.Context(), "--namespace="+tenant.name, "rollout", "status", "deployment/probe", "--timeout=300s"); err != nil {
			t.Fatal(out, err)
		}
	}
	// The proxy fetches its configuration with the authority every 10 s.
	for _, tenant := range tenants {
		command := []string{"get"}
		if tenant.captures {
			command = append(command, "--direct")
		}
		eventually(t, "the proxy to serve the sidecars of "+tenant.name, func() (bool, string) {
			out, err := probe(t.Context(), tenant.name, append(command, "https://"+environment.IPEchoName+"/")...)
			return err == nil, fmt.Sprint(out, err)
		})
	}
}

func removeSidecars(t *testing.T, tenants []sidecarTenant) {
	ctx := context.WithoutCancel(t.Context())
	for _, tenant := range tenants {
		for _, args := range [][]string{{"delete", "namespace", tenant.name}, {"delete", "egresstenant", tenant.name}} {
			if out, err := kubectl(ctx, args...); err != nil {
				t.Error(out, err)
			}
		}
	}
	apply(t, shared.ConfigFile())
}

// Programs with and without proxy variables reach a listed host through the sidecar,
// with the tenant's certificate, and not an unlisted one. The audit log has the tenant
// and the pod.
func TestSidecar(t *testing.T) {
	requireEnvironment(t)
	deploySidecars(t, byVariables, byNames)
	t.Run("by variables", func(t *testing.T) { reaches(t, byVariables, "get") })
	t.Run("ignoring the variables", func(t *testing.T) { reaches(t, byNames, "get", "--direct") })
	t.Run("ignoring the variables, without capture", func(t *testing.T) {
		for _, namespace := range []string{byVariables.name, namespaceA} {
			out, err := probe(t.Context(), namespace, "get", "--direct", "https://"+environment.IPEchoName+"/")
			if err == nil || !isProbes(err) {
				t.Errorf("from %s: %q, %v; want no connection", namespace, out, err)
			}
		}
	})
	t.Run("an unlisted host", func(t *testing.T) {
		denied(t, byVariables, "get")
		denied(t, byNames, "get", "--direct")
	})
	t.Run("certificates", refusedCertificates)
	t.Run("ended", endedSidecars)
	t.Run("names", madeUpNames)        // they take all addresses of the pods for a while
	if *cni == environment.CNIRouted { // the same on every network, as TestVerifyNamesPlantedFaults
		t.Run("verify", verifiedNames)
	}
}

// reaches requires that a pod of the tenant reaches the IP echo by HTTP and HTTPS, from
// the tenant's address, and that the audit log has the tenant and the pod.
func reaches(t *testing.T, tenant sidecarTenant, command ...string) {
	t.Helper()
	pod, err := kubectl(t.Context(), "--namespace="+tenant.name, "get", "pods", "-l", "app=probe", "-o", "jsonpath={.items[0].metadata.name}")
	if err != nil {
		t.Fatal(err)
	}
	egress := egressAddress(t, tenant.name)
	for _, scheme := range []string{"http", "https"} {
		_, position, err := shared.Audit(0)
		if err != nil {
			t.Fatal(err)
		}
		requireSource(t, tenant.name, egress, append(command, scheme+"://"+environment.IPEchoName+"/")...)
		eventually(t, "the audit line of "+tenant.name+" by "+scheme, func() (bool, string) {
			records, _, err := shared.Audit(position)
			if err != nil {
				t.Fatal(err)
			}
			for _, record := range records {
				claims := fmt.Sprintf(`"claimedNamespace":%q,"claimedPod":%q`, tenant.name, pod)
				if record.Tenant == tenant.name && record.Host == environment.IPEchoName && strings.Contains(record.Text, claims) {
					return true, ""
				}
			}
			return false, fmt.Sprintf("%v", records)
		})
	}
}

// denied requires that a pod of the tenant does not reach a host that is in no list,
// and that the sidecar's log has the host and the rule.
func denied(t *testing.T, tenant sidecarTenant, command ...string) {
	t.Helper()
	out, err := probe(t.Context(), tenant.name, append(command, "https://"+environment.HTTPBinName+"/")...)
	if err == nil || !isProbes(err) {
		t.Errorf("%s reaches %s: %q, %v", tenant.name, environment.HTTPBinName, out, err)
	}
	eventually(t, "the reason in the log of the sidecar of "+tenant.name, func() (bool, string) {
		log, err := kubectl(t.Context(), "--namespace="+tenant.name, "logs", "deployment/probe", "--container="+names.SidecarName)
		for _, line := range lines(log) {
			if strings.Contains(line, environment.HTTPBinName) && strings.Contains(line, "allow") {
				return true, ""
			}
		}
		return false, fmt.Sprint(log, err)
	})
}

// madeUpNames: of the names that a pod with dns Closed makes up, none is asked outside
// of the cluster; of those of another tenant, all are.
func madeUpNames(t *testing.T) {
	const count = 1000
	look := func(namespace, domain string, server ...string) {
		t.Helper()
		out, err := probe(t.Context(), namespace, append([]string{"resolves", strconv.Itoa(count), domain}, server...)...)
		if err != nil {
			t.Errorf("from %s below %s: %v", namespace, domain, err)
		}
		t.Logf("from %s below %s: %s", namespace, domain, strings.Join(lines(out), ", "))
	}
	closed := []struct {
		name, domain string
		server       []string
	}{
		{"by the sidecar", "closed-a.example", nil},
		{"by the chart's server", "closed-b.example", []string{environment.ClosedDNSAddress + ":53"}},
		{"by the cluster's", "closed-c.example", []string{"10.96.0.10:53"}},
	}
	for _, test := range closed {
		look(byNames.name, test.domain, test.server...)
	}
	// The control comes last: its names are asked after those above.
	const open = "open.example"
	eventually(t, "all names of the other tenant to be asked outside", func() (bool, string) {
		look(namespaceA, open) // on a busy machine, names are given up
		asked := queriesBelow(t, open)
		return asked == count, fmt.Sprintf("%d of %d names were asked", asked, count)
	})
	for _, test := range closed {
		if asked := queriesBelow(t, test.domain); asked > 0 {
			t.Errorf("%s: %d of %d names were asked outside", test.name, asked, count)
		}
	}
	eventually(t, "a name of the cluster", func() (bool, string) {
		_, err := probe(t.Context(), byNames.name, "resolve", environment.ClosedDNSAddress+":53", "kubernetes.default.svc.cluster.local")
		return err == nil, fmt.Sprint(err)
	})
}

// queriesBelow returns the number of different names below a domain that the internet's
// name servers were asked.
func queriesBelow(t *testing.T, domain string) int {
	t.Helper()
	events, err := shared.InternetEvents()
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, event := range events {
		if strings.HasSuffix(strings.ToLower(event.Host), "."+domain+".") {
			asked[strings.ToLower(event.Host)] = true
		}
	}
	return len(asked)
}
