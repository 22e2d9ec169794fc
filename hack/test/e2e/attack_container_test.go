package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"egress.scw/hack/local/environment"
)

// kindOfPod is a way to run a container in a pod. A container of each kind is in
// the pod's network, so the policy applies.
type kindOfPod struct {
	name string
	// labels and spec are parts of the manifest. spec has %s for the fields of
	// the container that connects.
	labels, spec string
	// debug are arguments of kubectl debug, by which the container that connects
	// is added. Empty: spec contains it.
	debug []string
}

// connecting is the name of the container that connects.
const connecting = "connecting"

const idlePod = "\n  containers: [{name: idle, image: " + environment.ProbeImage + ", imagePullPolicy: Never, args: [pause]}]"

func debugArguments() []string {
	return []string{"--image=" + environment.ProbeImage, "--image-pull-policy=Never", "--profile=baseline", "--container=" + connecting}
}

func kindsOfPods() []kindOfPod {
	const (
		one  = "\n  containers: [{name: " + connecting + ", %s}]"
		idle = idlePod
	)
	debug := debugArguments()
	return []kindOfPod{
		{name: "container", spec: one},
		{name: "init", spec: "\n  initContainers: [{name: " + connecting + ", %s}]" + idle},
		{name: "sidecar", spec: "\n  initContainers: [{name: " + connecting + ", restartPolicy: Always, %s}]" + idle},
		{name: "not-injected", labels: "egress.scw/inject: 'false'", spec: one},
		{name: "other-tenant", labels: "egress.scw/tenant: client-b", spec: one},
		{name: "own-resolver", spec: "\n  dnsPolicy: None\n  dnsConfig: {nameservers: [192.0.2.54]}" + one},
		{name: "ephemeral", spec: idle, debug: debug},
		{name: "copy", spec: idle, debug: append([]string{"--copy-to=copied"}, debug...)},
	}
}

// Containers of every kind are closed in, whoever makes them, and under names
// that the API server makes. Those of the same manifests in a namespace without
// a tenant are not.
func TestAttackByKindsOfContainers(t *testing.T) {
	requireEnvironment(t)
	t.Parallel()
	const plain = "e2e-attack-kinds-plain"
	a := newAttacker(t, "e2e-attack-kinds", "client-a")
	newNamespace(t, plain, "")
	asAttacker := func(stdin string, args ...string) error {
		_, err := a.kubectl(t.Context(), stdin, args...)
		return err
	}
	debugger := kindOfPod{name: "no-right", spec: idlePod, debug: debugArguments()}
	if err := makePod(asAttacker, debugger, at(4099)); err == nil || !strings.Contains(err.Error(), byRBAC("").message) {
		t.Errorf("%v; want a refusal of ephemeral containers by RBAC", err)
	}
	a.grant(t, "debug", `{apiGroups: [""], resources: [pods/ephemeralcontainers], verbs: [get, patch]}`)
	eventually(t, "the right to add ephemeral containers", func() (bool, string) {
		out, err := a.kubectl(t.Context(), "", "auth", "can-i", "patch", "pods", "--subresource=ephemeralcontainers")
		return err == nil, fmt.Sprint(out, err)
	})
	asAdministrator := func(stdin string, args ...string) error {
		_, err := shared.Kubectl(t.Context(), strings.NewReader(stdin), append([]string{"--namespace=" + plain}, args...)...)
		return err
	}
	// Each pair of pods connects to ports of its own in the internet.
	closed := func(i int) netip.AddrPort { return netip.AddrPortFrom(shared.Plan.Echoes[1], uint16(4100+i)) }
	open := func(i int) netip.AddrPort { return netip.AddrPortFrom(shared.Plan.Echoes[1], uint16(4200+i)) }
	for i, kind := range kindsOfPods() {
		if err := makePod(asAttacker, kind, closed(i)); err != nil {
			t.Fatalf("%s of the tenant: %v", kind.name, err)
		}
		if err := makePod(asAdministrator, kind, open(i)); err != nil {
			t.Fatalf("%s without a tenant: %v", kind.name, err)
		}
	}
	for _, namespace := range []string{a.namespace, plain} {
		eventually(t, "every container in "+namespace+" to have tried", func() (bool, string) {
			done, state := tried(t, namespace)
			return done == len(kindsOfPods()), state
		})
	}
	for i, kind := range kindsOfPods() {
		if n := arrivedAt(t, "tcp", closed(i)); n > 0 {
			t.Errorf("%s: %d packets of the tenant's pod arrived", kind.name, n)
		}
		if n := arrivedAt(t, "tcp", open(i)); n == 0 {
			t.Errorf("%s: no packet of the pod without a tenant was counted, so the test proves nothing", kind.name)
		}
	}
}

// makePod makes a pod of this kind that connects to an address.
func makePod(kubectl func(stdin string, args ...string) error, kind kindOfPod, to netip.AddrPort) error {
	name, spec := "generateName: "+kind.name+"-", kind.spec
	if len(kind.debug) > 0 {
		name = "name: " + kind.name
	} else {
		spec = fmt.Sprintf(spec, fmt.Sprintf("image: %s, imagePullPolicy: Never, args: [dial, tcp, '%s']", environment.ProbeImage, to))
	}
	manifest := fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {%s, labels: {%s}}\nspec:\n  restartPolicy: Never\n  terminationGracePeriodSeconds: 1%s\n",
		name, kind.labels, spec)
	if err := kubectl(manifest, "create", "-f", "-"); err != nil || len(kind.debug) == 0 {
		return err
	}
	return kubectl("", slices.Concat([]string{"debug", kind.name}, kind.debug, []string{"--", "/main", "dial", "tcp", to.String()})...)
}

// tried returns the number of pods in a namespace whose connecting container has
// ended, and describes the others.
func tried(t *testing.T, namespace string) (done int, others string) {
	t.Helper()
	out, err := kubectl(t.Context(), "--namespace="+namespace, "get", "pods", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var list corev1.PodList
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	for _, pod := range list.Items {
		for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses) {
			switch {
			case status.Name != connecting:
			case status.State.Terminated != nil || status.LastTerminationState.Terminated != nil:
				done++
			default:
				others += fmt.Sprintf("%s: %+v; ", pod.Name, status.State)
			}
		}
	}
	return done, others
}
