package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"

	"egress.scw/hack/local/environment"
	"egress.scw/hack/local/helm"
	"egress.scw/hack/test/helm3"
	"egress.scw/webhook/api/v1alpha1"
)

// The chart is upgraded from its former state, which had no guards, while tenants
// run, by both versions of Helm. The upgrade brings a new field of EgressTenant and
// its first use at once. No pod is replaced, no connection is refused that was
// admitted before, and no packet leaves on another path.
func TestUpgradeOfTheFormerChart(t *testing.T) {
	requireEnvironment(t)
	for _, version := range []struct {
		name             string
		install, upgrade func(context.Context, helm.Release) error
	}{
		{"Helm 3", helm3.Install, helm3.Upgrade},
		{"Helm 4", func(ctx context.Context, r helm.Release) error { return r.Install(ctx) }, func(ctx context.Context, r helm.Release) error { return r.Upgrade(ctx) }},
	} {
		t.Run(version.name, func(t *testing.T) {
			downgrade(t, version.install)
			before := observe(t)
			traffic := watchTraffic(t)
			if err := version.upgrade(t.Context(), withClusterAccess(t)); err != nil {
				t.Fatal(err)
			}
			traffic.stop(t)
			requireUpgraded(t, before, observe(t))
		})
	}
	upgradeBack(t)
}

// release is the release as the environment installs it.
func release(t *testing.T) helm.Release {
	t.Helper()
	r, err := shared.Release()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// accessCIDR is the range in the new field of client-a.
const accessCIDR = "10.99.0.0/24"

// withClusterAccess is the release with the new field.
func withClusterAccess(t *testing.T) helm.Release {
	t.Helper()
	r := release(t)
	tenants := slices.Clone(r.Values["tenants"].([]any))
	for i, each := range tenants {
		if tenant := maps.Clone(each.(map[string]any)); tenant["name"] == "client-a" {
			tenant["clusterAccess"] = []any{map[string]any{"cidr": accessCIDR, "ports": []any{5432}}}
			tenants[i] = tenant
		}
	}
	r.Values["tenants"] = tenants
	return r
}

// downgrade replaces the release by the former chart. The objects of tenants get
// their former state.
func downgrade(t *testing.T, install func(context.Context, helm.Release) error) {
	t.Helper()
	former := release(t)
	if err := former.Uninstall(); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{"client-a", "client-b"} {
		mustKubectl(t, "patch", "egresstenant", tenant, "--type=merge", `--patch={"metadata":{"finalizers":null}}`)
	}
	mustKubectl(t, "replace", "--filename=testdata/former-chart/crds")
	// The former definition has no field for the admitted port, which was in the URL.
	for tenant, port := range map[string]string{"client-a": "3129", "client-b": "3130"} {
		mustKubectl(t, "patch", "egresstenant", tenant, "--subresource=status", "--type=merge",
			fmt.Sprintf(`--patch={"status":{"proxyURL":"http://%s"}}`, net.JoinHostPort(shared.Plan.ProxyPrivate.String(), port)))
	}
	former.Chart = "testdata/former-chart"
	former.Values = formerValues(former.Values)
	if err := install(t.Context(), former); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the former webhook to answer", func() (bool, string) {
		out, err := shared.Kubectl(t.Context(), strings.NewReader(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"asked"},"spec":{"containers":[{"name":"c","image":"none"}]}}`),
			"--namespace="+namespaceA, "create", "--dry-run=server", "--output=json", "--filename=-")
		return strings.Contains(out, `"HTTPS_PROXY"`), fmt.Sprint(err)
	})
	eventually(t, "the policies to be the former ones", func() (bool, string) {
		out := mustKubectl(t, "get", "networkpolicies", "--all-namespaces", "--output=json")
		return !strings.Contains(out, accessCIDR), "a policy has the new field's rule"
	})
	if strings.Contains(mustKubectl(t, "get", "customresourcedefinition", "egresstenants.egress.scw", "--output=json"), "clusterAccess") {
		t.Fatal("the definition is not the former one")
	}
}

// formerValues are the values without those that the former chart does not know.
func formerValues(values map[string]any) map[string]any {
	former := maps.Clone(values)
	delete(former, "sidecar")
	for parent, keys := range map[string][]string{"proxy": {"identity", "machines"}, "dns": {"closed"}} {
		section, isSection := former[parent].(map[string]any)
		if !isSection {
			continue
		}
		section = maps.Clone(section)
		for _, key := range keys {
			delete(section, key)
		}
		former[parent] = section
	}
	return former
}

// state are the objects of tenants that an upgrade does not replace.
type state struct {
	pods     map[string]string // UIDs and restarts by namespace and name
	policies map[string]networkingv1.NetworkPolicy
	tenants  map[string]v1alpha1.EgressTenant
}

// tenantNamespaces are the namespaces of tenants with pods that run.
func tenantNamespaces() []string { return []string{namespaceA, namespaceAlsoA, namespaceB} }

func observe(t *testing.T) state {
	t.Helper()
	s := state{pods: map[string]string{}, policies: map[string]networkingv1.NetworkPolicy{}, tenants: map[string]v1alpha1.EgressTenant{}}
	for _, namespace := range tenantNamespaces() {
		const columns = `{range .items[*]}{.metadata.name} {.metadata.uid} {.status.containerStatuses[*].restartCount}{"\n"}{end}`
		for _, line := range lines(mustKubectl(t, "--namespace="+namespace, "get", "pods", "--selector=app=probe", "--output=jsonpath="+columns)) {
			name, rest, _ := strings.Cut(line, " ")
			s.pods[namespace+"/"+name] = rest
		}
		s.policies[namespace] = decoded[networkingv1.NetworkPolicy](t, "--namespace="+namespace, "get", "networkpolicy", "egress-scw")
	}
	for _, name := range []string{"client-a", "client-b"} {
		s.tenants[name] = decoded[v1alpha1.EgressTenant](t, "get", "egresstenant", name)
	}
	return s
}

// decoded returns the object that a command of kubectl prints.
func decoded[T any](t *testing.T, args ...string) (object T) {
	t.Helper()
	if err := json.Unmarshal([]byte(mustKubectl(t, append(args, "--output=json")...)), &object); err != nil {
		t.Fatal(err)
	}
	return object
}

func mustKubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// requireUpgraded compares the objects before and after the upgrade.
func requireUpgraded(t *testing.T, before, after state) {
	t.Helper()
	if diff := cmp.Diff(before.pods, after.pods); diff != "" || len(before.pods) < len(tenantNamespaces()) {
		t.Errorf("pods were replaced or restarted (-before +after):\n%s", diff)
	}
	for name, tenant := range after.tenants {
		was := before.tenants[name]
		// The URL changes to that of the Service a minute after the upgrade.
		kept := tenant.Status.ProxyURL == was.Status.ProxyURL || tenant.Status.ProxyURL == proxyURL(t, name)
		if tenant.UID != was.UID || !kept || was.Status.ProxyURL == "" {
			t.Errorf("EgressTenant %s: UID %s, proxy %q; before: %s, %q", name, tenant.UID, tenant.Status.ProxyURL, was.UID, was.Status.ProxyURL)
		}
		was.Spec.Ingress, was.Spec.DNS = v1alpha1.IngressOpen, v1alpha1.DNSCluster // the defaults of fields that are new
		if name == "client-a" {
			if len(tenant.Spec.ClusterAccess) != 1 || tenant.Spec.ClusterAccess[0].CIDR != accessCIDR {
				t.Errorf("EgressTenant %s lost the new field: %+v", name, tenant.Spec.ClusterAccess)
			}
			tenant.Spec.ClusterAccess = nil
		}
		if diff := cmp.Diff(was.Spec, tenant.Spec); diff != "" {
			t.Errorf("EgressTenant %s (-before +after):\n%s", name, diff)
		}
	}
	for namespace := range after.policies {
		requirePolicyKept(t, namespace, before.policies[namespace])
	}
	eventually(t, "tenants to be ready and guarded", func() (bool, string) {
		out := mustKubectl(t, "get", "egresstenants", "client-a", "client-b", `--output=jsonpath={range .items[*].status.conditions[*]}{.type}={.status}({.message}){"\n"}{end}`)
		return !strings.Contains(out, "=False") && strings.Count(out, "Guarded=True") == 2 && strings.Count("\n"+out, "\nReady=True") == 2, out
	})
}

// requirePolicyKept requires that the policy of before is still there, with one rule
// more for the new field. It has been written once for that, and not without it.
func requirePolicyKept(t *testing.T, namespace string, before networkingv1.NetworkPolicy) {
	t.Helper()
	added := int64(0)
	if namespace != namespaceB {
		added = 1
	}
	eventually(t, "the policy in "+namespace, func() (bool, string) {
		after := decoded[networkingv1.NetworkPolicy](t, "--namespace="+namespace, "get", "networkpolicy", "egress-scw")
		rules := len(after.Spec.Egress) - len(before.Spec.Egress)
		done := after.UID == before.UID && after.Generation-before.Generation == added && rules == int(added) &&
			cmp.Equal(before.Spec.Egress, after.Spec.Egress[:len(before.Spec.Egress)])
		return done, fmt.Sprintf("UID %s, before %s; generation %d, before %d; rules %+v", after.UID, before.UID, after.Generation, before.Generation, after.Spec.Egress)
	})
}

// upgradeBack removes the new field, as later tests expect.
func upgradeBack(t *testing.T) {
	t.Helper()
	if err := release(t).Upgrade(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// traffic are connection attempts of a tenant's pod, and pods that are created.
type traffic struct {
	cancel    context.CancelFunc
	running   sync.WaitGroup
	own       attempts // to its own port of the proxy
	direct    attempts // to the internet
	forbidden netip.AddrPort
	arrived   uint64
	permitted netip.AddrPort // the tenant's port
	refused   int
	pods      *stream
}

// attempts are connection attempts of one kind.
type attempts struct {
	// patience is the time after which an attempt is given up. first are those that
	// opened with the first packet.
	patience             time.Duration
	opened, first, total int
	err                  error
}

// repeat connects in rounds of some seconds, until the context ends.
func (a *attempts) repeat(ctx context.Context, address string) {
	for ctx.Err() == nil && a.err == nil {
		var out string
		if out, a.err = probe(context.WithoutCancel(ctx), namespaceA, "dials", address, "3s", a.patience.String()); a.err != nil {
			return
		}
		var opened, total, first int
		if _, a.err = fmt.Sscanf(out, "opened %d of %d, %d with", &opened, &total, &first); a.err == nil {
			a.opened, a.first, a.total = a.opened+opened, a.first+first, a.total+total
		}
	}
}

// refusedBefore returns the number of packets to an address that the node has refused.
func refusedBefore(t *testing.T, to netip.AddrPort) int {
	t.Helper()
	if *cni == environment.CNICilium {
		return 0 // it has another enforcer
	}
	count, err := shared.Refused(to)
	if err != nil {
		t.Fatal(err)
	}
	return count
}

func watchTraffic(t *testing.T) *traffic {
	t.Helper()
	const namespace = "e2e-upgrade-stream"
	if err := shared.ApplyNamespace(t.Context(), namespace, "client-b"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := kubectl(context.WithoutCancel(t.Context()), "delete", "namespace", namespace); err != nil {
			t.Error(err)
		}
	})
	w := &traffic{
		own:       attempts{patience: 20 * time.Second}, // a busy machine judges a connection later
		direct:    attempts{patience: 900 * time.Millisecond},
		forbidden: netip.AddrPortFrom(shared.Plan.Echoes[1], 80), permitted: netip.AddrPortFrom(shared.Plan.ProxyPrivate, 3129),
		pods: &stream{namespace: namespace},
	}
	w.arrived, w.refused = arrivedAt(t, "tcp", w.forbidden), refusedBefore(t, w.permitted)
	ctx, cancel := context.WithCancel(t.Context())
	w.cancel = cancel
	w.running.Go(func() { w.own.repeat(ctx, w.permitted.String()) })
	w.running.Go(func() { w.direct.repeat(ctx, w.forbidden.String()) })
	w.running.Go(func() { w.pods.run(ctx) })
	return w
}

func (w *traffic) stop(t *testing.T) {
	t.Helper()
	w.cancel()
	w.running.Wait()
	arrived := arrivedAt(t, "tcp", w.forbidden) - w.arrived
	refused := refusedBefore(t, w.permitted) - w.refused
	created, bare, errs := w.pods.counts()
	t.Logf("during the upgrade: %d of %d connections to the tenant's port, %d with the first packet, %d packets refused; %d of %d past the proxy with %d packets; %d pods, %d refused",
		w.own.opened, w.own.total, w.own.first, refused, w.direct.opened, w.direct.total, arrived, created, len(errs))
	if w.own.err != nil || w.own.total == 0 || w.own.opened < w.own.total*99/100 {
		t.Errorf("%d of %d connections to the tenant's port (%v)", w.own.opened, w.own.total, w.own.err)
	}
	// A packet is repeated if it was refused, or if a busy machine judges it later.
	if w.own.first < w.own.total*99/100 && (*cni == environment.CNICilium || refused > w.own.total/100) {
		t.Errorf("%d of %d connections to the tenant's port with the first packet, and %d packets refused", w.own.first, w.own.total, refused)
	}
	if w.direct.err != nil || w.direct.total == 0 || w.direct.opened > 0 || arrived > 0 {
		t.Errorf("past the proxy: %d of %d connections, %d packets (%v)", w.direct.opened, w.direct.total, arrived, w.direct.err)
	}
	if created == 0 || bare > 0 || len(errs) > 0 {
		t.Errorf("%d pods were created, %d of them without variables, and %q", created, bare, errs)
	}
}
