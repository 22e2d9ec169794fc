package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Requests of the same ServiceAccount that no guard may refuse.
func TestGuardsAdmit(t *testing.T) {
	installCNIDefinitions(t)
	runAdmitted(t, admittedNamespaces())
	runAdmitted(t, admittedPolicies())
	runAdmitted(t, admittedServices())
	runAdmitted(t, admittedPods())
}

func runAdmitted(t *testing.T, admitted []attempt) {
	t.Helper()
	for _, a := range admitted {
		t.Run(a.name, func(t *testing.T) {
			attacker := newAttacker(t, a.prepare)
			attacker.grant(t, a.rights)
			attacker.requireSuccess(t, a.request)
		})
	}
}

func admittedNamespaces() []attempt {
	patching := right("", "namespaces", "patch")
	return []attempt{
		{name: "other labels", rights: patching, request: merge(namespaceHead, labels("team: orders"))},
		{name: "a stricter level", rights: patching, request: merge(namespaceHead, labels("pod-security.kubernetes.io/enforce: restricted"))},
		{name: "the latest version", rights: patching, request: merge(namespaceHead, labels("pod-security.kubernetes.io/enforce-version: latest"))},
		{name: "warnings of Pod Security", rights: patching, request: merge(namespaceHead, labels("pod-security.kubernetes.io/warn: restricted"))},
		{
			name: "any level without a tenant", rights: patching, prepare: unlabel,
			request: merge(namespaceHead, labels("pod-security.kubernetes.io/enforce: privileged")),
		},
		{
			name: "a tenant that one may use", rights: append(use("client-b"), patching...), prepare: unlabel,
			request: merge(namespaceHead, labels("egress.scw/tenant: client-b")),
		},
		{
			name: "from one tenant that one may use to another", rights: append(append(use("client-a"), use("client-b")...), patching...),
			request: merge(namespaceHead, labels("egress.scw/tenant: client-b")),
		},
		{
			name: "a new namespace of a tenant that one may use", rights: append(use("client-a"), right("", "namespaces", "create")...),
			request: secondNamespace("client-a"),
		},
	}
}

func admittedPolicies() []attempt {
	const oldPolicy = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: old}}"
	old := prepared(create("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, " +
		"metadata: {name: old, finalizers: [example.com/f]}, spec: {podSelector: {}, egress: [{}]}}"))
	return []attempt{
		{name: "ingress rules", request: create("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, spec: {podSelector: {}, ingress: [{}]}}")},
		{name: "no egress at all", request: create("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, spec: {podSelector: {}, policyTypes: [Egress]}}")},
		{name: "an empty list of rules", request: create("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, spec: {podSelector: {}, policyTypes: [Egress], egress: []}}")},
		{name: "a label on an older policy", prepare: old, request: merge(oldPolicy, labels("team: orders"))},
		{name: "an older policy without its finalizer", prepare: old, request: merge(oldPolicy, "{metadata: {finalizers: null}}")},
		{name: "an older policy without its rules", prepare: old, request: merge(oldPolicy, "{spec: {egress: null}}")},
		{name: "an older policy deleted", prepare: old, request: remove(oldPolicy)},
		{
			name: "ingress rules of Cilium", rights: right("cilium.io", "ciliumnetworkpolicies", "create"),
			request: create(ciliumPolicy + "spec: {endpointSelector: {}, ingress: [{}], egressDeny: [{toEntities: [world]}]}}"),
		},
		{
			name: "an older policy of Cilium", rights: right("cilium.io", "ciliumnetworkpolicies", "patch"),
			prepare: prepared(create(ciliumPolicy + "spec: {endpointSelector: {}, egress: [{toEntities: [all]}]}}")),
			request: merge(ciliumPolicy+"spec: {}}", labels("team: orders")),
		},
		{
			name: "a Service redirected by Cilium", rights: right("cilium.io", "ciliumlocalredirectpolicies", "create"),
			request: create(ciliumRedirect + "spec: {redirectFrontend: {serviceMatcher: {serviceName: s}}}}"),
		},
		{
			name: "ingress rules of Calico", rights: right("crd.projectcalico.org", "networkpolicies", "create"),
			request: create(calicoPolicy + "spec: {types: [Ingress], ingress: [{action: Allow}]}}"),
		},
	}
}

func admittedServices() []attempt {
	external := prepared(create(externalService))
	slices := right("discovery.k8s.io", "endpointslices", "create", "patch")
	waiting := prepared(create(pod("", "")))
	return []attempt{
		{name: "a Service", request: create(plainService)},
		{name: "a Service of type LoadBalancer", request: create(balancedService)},
		{name: "a label on a Service with an external address", prepare: external, request: merge(serviceHead, labels("team: orders"))},
		{name: "the external address removed", prepare: external, request: merge(serviceHead, "{spec: {externalIPs: null}}")},
		{
			name: "a condition of a Service", rights: right("", "services/status", "patch"),
			prepare: prepared(create(balancedService), mergeStatus(serviceHead, "{status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}}")),
			request: mergeStatus(serviceHead, "{status: {conditions: [{type: Ready, status: 'True', reason: Ready, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}]}}"),
		},
		{name: "endpoints in the cluster", rights: slices, request: create(slice("IPv4", "10.244.1.2"))},
		{
			name: "older endpoints", rights: slices, prepare: prepared(create(slice("IPv4", "192.0.2.10"))),
			request: merge(sliceHead, labels("team: orders")),
		},
		{name: "Endpoints in the cluster", rights: right("", "endpoints", "create"), request: create(endpoints("addresses: [{ip: 10.244.1.2}]"))},
		{name: "a binding", rights: right("", "pods/binding", "create"), prepare: waiting, request: bind(nil, nil)},
		{
			name: "a binding to a node with a zone", rights: right("", "pods/binding", "create"), prepare: prepared(create(pod("", "")),
				merge("{apiVersion: v1, kind: Node, metadata: {name: "+firstNode+"}}", labels("topology.kubernetes.io/zone: fr-par-1"))),
			request: bind(nil, nil),
		},
	}
}

func admittedPods() []attempt {
	manyContainers := strings.Repeat(`, livenessProbe: {httpGet: {port: 80}}, lifecycle: {preStop: {sleep: {seconds: 1}}}}, {name: c%d, image: none`, 400)
	for i := range 400 {
		manyContainers = strings.Replace(manyContainers, "c%d", fmt.Sprint("c", i), 1)
	}
	return []attempt{
		{name: "probes and hooks", request: create(pod(", livenessProbe: {httpGet: {port: 80}}, readinessProbe: {tcpSocket: {port: 80}}, "+
			"startupProbe: {grpc: {port: 80}}, lifecycle: {postStart: {exec: {command: ['true']}}, preStop: {httpGet: {host: '', port: 80}}}", ""))},
		{name: "volumes", request: create(pod("", "volumes: [{name: a, emptyDir: {}}, {name: b, configMap: {name: c}}, {name: c, secret: {secretName: c}}, "+
			"{name: d, projected: {sources: []}}, {name: e, downwardAPI: {}}, {name: f, persistentVolumeClaim: {claimName: c}}, "+
			"{name: g, ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}}, "+
			"{name: h, csi: {driver: csi.cert-manager.io}}, {name: i, image: {reference: registry.example.com/a}}, {name: j}], "))},
		{name: "hundreds of containers", request: create(pod(manyContainers, ""))},
		{name: "an image of any registry", request: create(pod("", "initContainers: [{name: i, image: registry.example.com/a}], "))},
	}
}

const (
	podHead    = "{apiVersion: v1, kind: Pod, metadata: {name: p}}"
	allowedPod = "{apiVersion: v1, kind: Pod, metadata: {name: p}, " +
		"spec: {schedulerName: none, containers: [{name: c, image: rg.fr-par.scw.cloud/platform/a}]}}"
)

func admittedImages() []attempt {
	return []attempt{
		{name: "the registry", request: create(allowedPod)},
		{name: "a digest", request: create("{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {schedulerName: none, containers: [{name: c, image: " +
			"'rg.fr-par.scw.cloud/platform/folder/a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}]}}")},
		{
			name: "an ephemeral container", rights: right("", "pods/ephemeralcontainers", "patch"), prepare: prepared(create(allowedPod)),
			request: ephemeral("rg.fr-par.scw.cloud/platform/debug"),
		},
		{name: "another label", prepare: prepared(create(pod("", ""))), request: merge(podHead, labels("team: orders"))},
	}
}

// ephemeral adds an ephemeral container to the pod.
func ephemeral(image string) request {
	return func(ctx context.Context, c client.Client, namespace string) error {
		change := fmt.Sprintf(`{"spec":{"ephemeralContainers":[{"name":"e","image":%q}]}}`, image)
		pod := &corev1.Pod{}
		pod.Namespace, pod.Name = namespace, "p"
		return c.SubResource("ephemeralcontainers").Patch(ctx, pod, client.RawPatch(types.StrategicMergePatchType, []byte(change)))
	}
}
