package e2e

import (
	"fmt"
	"strings"
	"testing"

	"egress.scw/hack/local/environment"
)

// Ports of the internet at which only packets of one attack arrive.
const (
	portHostNetwork = 4011 + iota
	portHostPID
)

// byPodSecurity is the namespace's Pod Security level.
var byPodSecurity = stop{"Pod Security", "violates PodSecurity", func(t *testing.T, a attacker) {
	const key = "pod-security.kubernetes.io/enforce"
	level, err := kubectl(t.Context(), "get", "namespace", a.namespace, "-o", `jsonpath={.metadata.labels.pod-security\.kubernetes\.io/enforce}`)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if level == "" {
			label(t, a.namespace, key+"-")
			return
		}
		label(t, a.namespace, key+"="+level)
	})
	label(t, a.namespace, key+"=privileged")
}}

// nodeAttacks enter the node, from which no policy keeps a pod.
func nodeAttacks() []attack {
	dial := func(port uint16) string { return "dial, tcp, '" + at(port).String() + "'" }
	return []attack{{
		name:     "hostNetwork",
		stops:    []stop{byPodSecurity},
		attempt:  createPod("  hostNetwork: true\n" + container(dial(portHostNetwork), "")),
		undo:     remove("pod/odd"),
		succeeds: arrivesAt(portHostNetwork),
	}, {
		name:  "hostNetwork, to the other tenant's port",
		stops: []stop{byPodSecurity},
		attempt: createPod("  hostNetwork: true\n" + container(fmt.Sprintf("get, --proxy, 'http://%s:3130', 'http://%s/'",
			shared.Plan.ProxyPrivate, environment.IPEchoName), "")),
		undo: remove("pod/odd"),
		succeeds: func(t *testing.T, a attacker) (bool, string) {
			t.Helper()
			out, err := kubectl(t.Context(), "--namespace="+a.namespace, "logs", "odd")
			return strings.HasSuffix(strings.TrimSpace(out), egressAddress(t, "client-b")), fmt.Sprintf("%q, %v", out, err)
		},
	}, {
		name:  "hostPID, and the network namespace of the node's first process",
		stops: []stop{byPodSecurity},
		attempt: createPod("  hostPID: true\n" + container("within, /proc/1/ns/net, "+dial(portHostPID),
			", securityContext: {privileged: true, runAsUser: 0}")),
		undo:     remove("pod/odd"),
		succeeds: arrivesAt(portHostPID),
	}, {
		name:  "hostPath of the node's root",
		stops: []stop{byPodSecurity},
		attempt: createPod("  volumes: [{name: root, hostPath: {path: /}}]\n" +
			container("list, /node/var/lib", ", securityContext: {runAsUser: 0}, volumeMounts: [{name: root, mountPath: /node, readOnly: true}]")),
		undo: remove("pod/odd"),
		succeeds: func(t *testing.T, a attacker) (bool, string) {
			t.Helper()
			out, err := kubectl(t.Context(), "--namespace="+a.namespace, "logs", "odd")
			return strings.Contains(out, "egress-local"), fmt.Sprintf("%q, %v", out, err)
		},
	}}
}
