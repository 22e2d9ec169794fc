package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"egress.scw/hack/local/cluster"
	"egress.scw/hack/local/network"
)

// nodeLocalAddress is the usual address of a node-local DNS cache.
const nodeLocalAddress = "169.254.20.10"

// nodeLocalCache runs in the node's network, as node-local DNS caches do, and
// answers on all of its addresses. Its parameter is the address of the cluster's
// DNS.
const nodeLocalCache = `
apiVersion: v1
kind: ConfigMap
metadata: {name: node-local-dns, namespace: kube-system}
data:
  Corefile: |
    .:53 {
        errors
        forward . %s
    }
---
apiVersion: v1
kind: Pod
metadata: {name: node-local-dns, namespace: kube-system}
spec:
  hostNetwork: true
  dnsPolicy: Default
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  containers:
  - name: coredns
    image: egress-local/coredns:dev
    imagePullPolicy: Never
    args: [-conf, /etc/coredns/Corefile]
    volumeMounts: [{name: config, mountPath: /etc/coredns}]
    securityContext: {runAsUser: 0}
  volumes: [{name: config, configMap: {name: node-local-dns}}]
`

// A tenant's pod asks the DNS cache of its node once the chart has its address,
// and not before. Cilium identifies the address as its host, which no address in a
// NetworkPolicy matches.
func TestNodeLocalDNS(t *testing.T) {
	requireEnvironment(t)
	startNodeLocalCache(t)
	ask := func(namespace string) error {
		_, err := probe(t.Context(), namespace, "resolve", nodeLocalAddress+":53", "kubernetes.default.svc."+cluster.Domain)
		return err
	}
	eventually(t, "the cache to answer a pod without a tenant", func() (bool, string) {
		err := ask(namespacePlain)
		return err == nil, fmt.Sprint(err)
	})
	if err := ask(namespaceA); err == nil || !isProbes(err) {
		t.Errorf("without the chart's value: %v; want the cache to be closed", err)
	}
	setNodeLocal(t, nodeLocalAddress)
	t.Cleanup(func() { setNodeLocal(t, "") })
	eventually(t, "the cache to answer the tenant's pod", func() (bool, string) {
		err := ask(namespaceA)
		return err == nil, fmt.Sprint(err)
	})
}

func startNodeLocalCache(t *testing.T) {
	t.Helper()
	// Cleanups run after the test's context has ended.
	ctx := context.WithoutCancel(t.Context())
	ip := func(args ...string) string {
		out, err := exec.CommandContext(ctx, "ip", append([]string{"-n", shared.Plan.Netns(network.Node)}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("ip %q: %v: %s", args, err, out)
		}
		return string(out)
	}
	device := strings.Fields(ip("-o", "address", "show", "to", shared.Plan.NodeAddress.String()))[1]
	ip("address", "add", nodeLocalAddress+"/32", "dev", device)
	t.Cleanup(func() {
		ip("address", "delete", nodeLocalAddress+"/32", "dev", device)
		if _, err := kubectl(ctx, "--namespace=kube-system", "delete", "pod/node-local-dns", "configmap/node-local-dns", "--ignore-not-found"); err != nil {
			t.Error(err)
		}
	})
	if err := shared.Apply(ctx, fmt.Sprintf(nodeLocalCache, cluster.DNSIP)); err != nil {
		t.Fatal(err)
	}
	if _, err := kubectl(ctx, "--namespace=kube-system", "wait", "--for=condition=Ready", "pod/node-local-dns", "--timeout=300s"); err != nil {
		t.Fatal(err)
	}
}

// setNodeLocal upgrades the webhook's release with this address of a node-local
// DNS cache.
func setNodeLocal(t *testing.T, address string) {
	t.Helper()
	release, err := shared.Release()
	if err != nil {
		t.Fatal(err)
	}
	dns, _ := release.Values["dns"].(map[string]any)
	if dns == nil {
		dns = map[string]any{}
	}
	dns["nodeLocalAddress"] = address
	release.Values["dns"] = dns
	// Cleanups run after the test's context has ended.
	if err := release.Upgrade(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}
