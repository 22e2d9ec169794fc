package e2e

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"egress.scw/hack/local/environment"
)

// serviceAttacks take the address of a machine outside of the cluster from other
// pods, with a Service in the attacker's namespace.
func serviceAttacks() []attack {
	external := func(protocol string, port int, address string) string {
		return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: taken}
spec:
  selector: {app: probe}
  externalIPs: [%s]
  ports: [{port: %d, targetPort: 8080, protocol: %s}]
`, address, port, protocol)
	}
	return []attack{{
		name:  "externalIPs with the proxy's address",
		stops: []stop{byGuard("external-ips")},
		attempt: func(ctx context.Context, a attacker) error {
			return a.apply(ctx, external("TCP", 3130, shared.Plan.ProxyPrivate.String()))
		},
		undo:     remove("service/taken"),
		succeeds: answersForProxy,
	}, {
		name:  "externalIPs with the resolver's address",
		stops: []stop{byGuard("external-ips")},
		attempt: func(ctx context.Context, a attacker) error {
			return a.apply(ctx, external("UDP", 53, shared.Plan.Resolver.String()))
		},
		undo: remove("service/taken"),
		succeeds: func(t *testing.T, _ attacker) (bool, string) {
			t.Helper()
			_, err := probe(t.Context(), namespacePlain, "resolve", net.JoinHostPort(shared.Plan.Resolver.String(), "53"), environment.IPEchoName)
			if err != nil && !isProbes(err) {
				t.Fatal(err)
			}
			return err != nil, fmt.Sprint(err)
		},
	}, {
		name: "address of a load balancer in a Service's status",
		stops: []stop{
			byRBAC(`{apiGroups: [""], resources: [services/status], verbs: [get, patch]}`),
			byGuard("load-balancer-status"),
		},
		attempt: func(ctx context.Context, a attacker) error {
			if err := a.apply(ctx, `
apiVersion: v1
kind: Service
metadata: {name: taken}
spec:
  type: LoadBalancer
  selector: {app: probe}
  ports: [{port: 3130, targetPort: 8080}]
`); err != nil {
				return err
			}
			return a.patch(ctx, "service/taken", fmt.Sprintf(`{"status":{"loadBalancer":{"ingress":[{"ip":%q}]}}}`, shared.Plan.ProxyPrivate), "--subresource=status")
		},
		undo:     remove("service/taken"),
		succeeds: answersForProxy,
	}, {
		name: "endpoints outside of the cluster",
		stops: []stop{
			byRBAC(`{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, create, patch]}`),
			byGuard("endpoints"),
		},
		attempt: func(ctx context.Context, a attacker) error {
			if err := a.apply(ctx, "{apiVersion: v1, kind: Service, metadata: {name: led}, spec: {ports: [{port: 80}]}}"); err != nil {
				return err
			}
			return a.apply(ctx, fmt.Sprintf(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: led, labels: {kubernetes.io/service-name: led}}
addressType: IPv4
ports: [{port: 80}]
endpoints: [{addresses: [%s]}]
`, shared.Plan.Echoes[1]))
		},
		undo: remove("endpointslice/led", "service/led"),
		// From a pod without a tenant: such a pod, an ingress controller for
		// example, is led outside by the attacker.
		succeeds: func(t *testing.T, a attacker) (bool, string) {
			t.Helper()
			_, err := probe(t.Context(), namespacePlain, "dial", "tcp", "led."+a.namespace+".svc.cluster.local:80")
			if err != nil && !isProbes(err) {
				t.Fatal(err)
			}
			return err == nil, fmt.Sprint(err)
		},
	}}
}

// answersForProxy reports whether a pod of the attacker answers a pod without a
// tenant in the proxy's place, and whether another tenant has lost its proxy.
func answersForProxy(t *testing.T, _ attacker) (bool, string) {
	t.Helper()
	out, err := probe(t.Context(), namespacePlain, "get", "--direct", "http://"+net.JoinHostPort(shared.Plan.ProxyPrivate.String(), "3130")+"/")
	if err != nil && !isProbes(err) {
		t.Fatal(err)
	}
	intercepted := strings.Contains(out, "hello from probe-")
	served, state := leavesAs(t, namespaceB, "client-b", "3130")
	if intercepted == served {
		return false, fmt.Sprintf("a pod without a tenant gets %q, client-b %s", out, state)
	}
	return intercepted, fmt.Sprintf("a pod without a tenant gets %q, client-b %s", out, state)
}
