package integration

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	serviceHead     = "{apiVersion: v1, kind: Service, metadata: {name: s}}"
	plainService    = "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 80}]}}"
	externalService = "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 80}], externalIPs: [192.0.2.1]}}"
	// The API server takes addresses only on Services of this type.
	balancedService = "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {type: LoadBalancer, ports: [{port: 80}]}}"
	balancedStatus  = "{status: {loadBalancer: {ingress: [{ip: 172.16.28.8}]}}}"
)

func externalIPAttempts() []attempt {
	return []attempt{
		{name: "a new Service", request: create(externalService)},
		{name: "a patch", prepare: prepared(create(plainService)), request: merge(serviceHead, "{spec: {externalIPs: [172.16.28.8]}}")},
		{name: "apply", request: apply(externalService)},
		{name: "one more address", prepare: prepared(create(externalService)), request: merge(serviceHead, "{spec: {externalIPs: [192.0.2.1, 172.16.28.8]}}")},
		{name: "in a namespace without a tenant", prepare: unlabel, request: create(externalService)},
	}
}

func loadBalancerStatusAttempts() []attempt {
	rights := right("", "services/status", "patch", "update")
	return []attempt{
		{name: "an address", rights: rights, prepare: prepared(create(balancedService)), request: mergeStatus(serviceHead, balancedStatus)},
		{
			name: "one more address", rights: rights,
			prepare: prepared(create(balancedService), mergeStatus(serviceHead, "{status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}}")),
			request: mergeStatus(serviceHead, "{status: {loadBalancer: {ingress: [{ip: 192.0.2.1}, {ip: 172.16.28.8}]}}}"),
		},
		{
			name: "in a namespace without a tenant", rights: rights, prepare: prepared(create(balancedService), merge(namespaceHead, labels("egress.scw/tenant: null"))),
			request: mergeStatus(serviceHead, balancedStatus),
		},
	}
}

const sliceHead = "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: e}}"

// slice is an EndpointSlice of a Service without a selector.
func slice(family, address string) string {
	return "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: e, labels: {kubernetes.io/service-name: s}}, " +
		"addressType: " + family + ", ports: [{port: 80}], endpoints: [{addresses: ['" + address + "']}]}"
}

func endpoints(subset string) string {
	return "{apiVersion: v1, kind: Endpoints, metadata: {name: s}, subsets: [{ports: [{port: 80}], " + subset + "}]}"
}

func endpointsAttempts() []attempt {
	slices := right("discovery.k8s.io", "endpointslices", "create", "patch")
	old := right("", "endpoints", "create", "patch")
	proxyPort := strings.Replace(slice("IPv4", "10.244.0.1"), "port: 80", "port: 3128", 1)
	return []attempt{
		{name: "the internet", rights: slices, request: create(slice("IPv4", "192.0.2.10"))},
		{name: "a private address outside of cluster.cidrs", rights: slices, request: create(slice("IPv4", "192.168.1.1"))},
		{name: "the proxy, which is in cluster.cidrs", rights: slices, request: create(slice("IPv4", proxyAddress))},
		{name: "a tenant's Service, which is in cluster.cidrs", rights: slices, validation: 1, request: create(proxyPort)},
		{name: "every port", rights: slices, validation: 1, request: create(strings.Replace(proxyPort, "port: 3128", "name: any", 1))},
		{name: "Endpoints with the port of tenants' Services", rights: old, validation: 1, request: create(strings.Replace(endpoints("addresses: [{ip: 10.244.0.1}]"), "port: 80", "port: 3128", 1))},
		{
			name: "the port changed", rights: slices, validation: 1, prepare: prepared(create(slice("IPv4", "10.244.0.1"))),
			request: merge(sliceHead, "{ports: [{port: 3128}]}"),
		},
		{name: "IPv6", rights: slices, request: create(slice("IPv6", "2001:db8::10"))},
		{name: "a host name", rights: slices, request: create(slice("FQDN", "www.example.com"))},
		{
			name: "an address added", rights: slices, prepare: prepared(create(slice("IPv4", "10.244.0.1"))),
			request: merge(sliceHead, "{endpoints: [{addresses: [10.244.0.1]}, {addresses: [192.0.2.10]}]}"),
		},
		{name: "Endpoints", rights: old, request: create(endpoints("addresses: [{ip: 192.0.2.10}]"))},
		{name: "Endpoints that are not ready", rights: old, request: create(endpoints("notReadyAddresses: [{ip: 192.0.2.10}]"))},
	}
}

func bindingAttempts() []attempt {
	waiting := prepared(create("{apiVersion: v1, kind: Pod, metadata: {name: p}, " +
		"spec: {schedulerName: none, containers: [{name: c, image: none}]}}"))
	return []attempt{
		{name: "a label", rights: right("", "pods/binding", "create"), prepare: waiting, request: bind(map[string]string{"egress.scw/inject": "false"}, nil)},
		{name: "an annotation", rights: right("", "pods/binding", "create"), prepare: waiting, request: bind(nil, map[string]string{"egress.scw/status": "{}"})},
		{
			name: "through bindings", rights: right("", "bindings", "create"), prepare: waiting,
			request: create("{apiVersion: v1, kind: Binding, metadata: {name: p, labels: {egress.scw/inject: 'false'}}, target: {kind: Node, name: " + firstNode + "}}"),
		},
	}
}

// firstNode is the name of kwok's first node.
const firstNode = "kwok-1"

func bind(labels, annotations map[string]string) request {
	return func(ctx context.Context, c client.Client, namespace string) error {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "p"}}
		return c.SubResource("binding").Create(ctx, pod, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: labels, Annotations: annotations},
			Target:     corev1.ObjectReference{Kind: "Node", Name: firstNode},
		})
	}
}
