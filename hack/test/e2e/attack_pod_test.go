package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"egress.scw/hack/local/environment"
)

// Ports of the internet at which only packets of one attack arrive.
const (
	portProbe = 4001 + iota
	portHook
	portRegistry
)

// podAttacks leave the pod's own network by the node's programs.
func podAttacks() []attack {
	return []attack{{
		name:     "host in a probe",
		stops:    []stop{byPodSecurity, byGuard("probe-hosts")},
		attempt:  createPod(container("serve, ':8080'", ", readinessProbe: {periodSeconds: 1, httpGet: "+host(portProbe)+"}")),
		undo:     remove("pod/odd"),
		succeeds: arrivesAt(portProbe),
	}, {
		name:  "host in a probe, to the other tenant's port",
		stops: []stop{byPodSecurity, byGuard("probe-hosts")},
		attempt: createPod(container("serve, ':8080'", fmt.Sprintf(", readinessProbe: {periodSeconds: 1, httpGet: {host: %s, port: 3130, path: /}}",
			shared.Plan.ProxyPrivate))),
		undo:     remove("pod/odd"),
		succeeds: reachesOtherPort,
	}, {
		name:     "host in a lifecycle hook",
		stops:    []stop{byPodSecurity, byGuard("probe-hosts")},
		attempt:  createPod(container("serve, ':8080'", ", lifecycle: {postStart: {httpGet: "+host(portHook)+"}}")),
		undo:     remove("pod/odd"),
		succeeds: arrivesAt(portHook),
	}, {
		// The node of the local environment has no client for any of these
		// volumes, so no packet can be counted.
		name:    "volume of an NFS server",
		stops:   []stop{byGuard("volumes")},
		attempt: createPod("  volumes: [{name: far, nfs: {server: " + shared.Plan.Echoes[1].String() + ", path: /}}]\n" + container("pause", "")),
		undo:    remove("pod/odd"),
	}, {
		name: "labels of a pod by its binding",
		stops: []stop{
			byRBAC(`{apiGroups: [""], resources: [pods/binding], verbs: [create]}`),
			byGuard("bindings"),
		},
		attempt: func(ctx context.Context, a attacker) error {
			if err := createPod("  schedulerName: none\n"+container("pause", ""))(ctx, a); err != nil {
				return err
			}
			binding := `{"apiVersion":"v1","kind":"Binding","metadata":{"name":"odd","labels":{"egress.scw/inject":"false"}},"target":{"kind":"Node","name":"node1"}}`
			_, err := a.kubectl(ctx, binding, "create", "--raw", "/api/v1/namespaces/"+a.namespace+"/pods/odd/binding", "-f", "-")
			return err
		},
		undo: remove("pod/odd"),
		succeeds: func(t *testing.T, a attacker) (bool, string) {
			t.Helper()
			out, err := kubectl(t.Context(), "--namespace="+a.namespace, "get", "pod", "odd", "-o", "jsonpath={.metadata.labels}")
			return strings.Contains(out, "egress.scw/inject"), fmt.Sprintf("%q, %v", out, err)
		},
	}}
}

// reachesOtherPort reports whether Squid has received a request on the port of
// client-b that is not meant for a proxy, as those of probes are not. A connection
// without a request, which the webhook leaves if it gives up on a busy machine, has a
// line without a status.
func reachesOtherPort(t *testing.T, a attacker) (bool, string) {
	t.Helper()
	lines, _, err := shared.Audit(a.audit)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(lines, func(line environment.AuditLine) bool {
		return line.Port == "3130" && line.Verdict == "-" && line.Status != 0
	})
	if i < 0 {
		return false, fmt.Sprintf("not among %d requests", len(lines))
	}
	return true, lines[i].Text
}

// at is a port of the internet.
func at(port uint16) netip.AddrPort { return netip.AddrPortFrom(shared.Plan.Echoes[1], port) }

// host has a probe or hook connect to a port of the internet.
func host(port uint16) string {
	return fmt.Sprintf("{host: %s, port: %d, path: /}", at(port).Addr(), port)
}

// createPod creates the pod "odd" with these lines of its spec.
func createPod(spec string) func(context.Context, attacker) error {
	return func(ctx context.Context, a attacker) error {
		return a.apply(ctx, "apiVersion: v1\nkind: Pod\nmetadata: {name: odd}\nspec:\n  restartPolicy: Never\n  terminationGracePeriodSeconds: 1\n"+spec)
	}
}

// container is a container that runs the probe's command, with further fields.
func container(command, fields string) string {
	return fmt.Sprintf("  containers:\n  - {name: c, image: %s, imagePullPolicy: Never, args: [%s]%s}\n", environment.ProbeImage, command, fields)
}

// arrivesAt reports whether a packet arrived at a port of the internet.
func arrivesAt(port uint16) func(*testing.T, attacker) (bool, string) {
	return func(t *testing.T, _ attacker) (bool, string) {
		t.Helper()
		n := arrivedAt(t, "tcp", at(port))
		return n > 0, fmt.Sprintf("%d packets arrived at %s", n, at(port))
	}
}
