package netpol

import (
	"net/netip"
	"reflect"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/settings"
)

// Kind of Cilium's policies.
const (
	CiliumGroup   = "cilium.io"
	CiliumVersion = "v2"
	CiliumKind    = "CiliumNetworkPolicy"
)

// Cilium's entities: groups of addresses with an identity of their own, which no
// ipBlock matches.
const (
	entityHost      = "host"           // the pod's own node, by each of its addresses
	entityAPIServer = "kube-apiserver" // the endpoints of the API server's Service
)

// BuildCilium returns the CiliumNetworkPolicy that a tenant's namespace needs beside
// the NetworkPolicy of Build, nil if it needs none. It opens those paths of Build
// again whose destinations Cilium identifies by an entity, not by an address: the
// node-local DNS cache, and the API server. Cilium's policies and NetworkPolicies
// add up, and each of them closes all other paths.
//
// An entity has no addresses: port 53 is open on all addresses of the pod's own
// node. Destinations of clusterAccess on nodes stay closed, because the entities of
// nodes would open all of them.
//
// Equal arguments give equal policies. The result shares no memory with the
// arguments or with another result.
func BuildCilium(tenant *v1alpha1.EgressTenant, namespace string, s *settings.Settings, apiServer ...netip.AddrPort) *unstructured.Unstructured {
	var rules []any
	if s.DNS.NodeLocal.IsValid() && !tenant.Spec.HasClosedDNS() {
		rules = append(rules, entityRule(entityHost, []uint16{dnsPort}, corev1.ProtocolUDP, corev1.ProtocolTCP))
	}
	if ports := apiServerPorts(apiServer); len(ports) > 0 && opensAPIServer(tenant) {
		rules = append(rules, entityRule(entityAPIServer, ports, corev1.ProtocolTCP))
	}
	if len(rules) == 0 {
		return nil
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": CiliumGroup + "/" + CiliumVersion,
		"kind":       CiliumKind,
		"metadata": map[string]any{
			"namespace": namespace,
			"name":      names.PolicyName,
			"labels":    map[string]any{names.LabelTenant: tenant.Name},
		},
		"spec": map[string]any{
			// The empty selector selects all pods of the namespace.
			"endpointSelector": map[string]any{},
			"egress":           rules,
		},
	}}
}

func opensAPIServer(tenant *v1alpha1.EgressTenant) bool {
	return slices.ContainsFunc(tenant.Spec.ClusterAccess, func(access v1alpha1.ClusterAccess) bool {
		return access.APIServer && access.IsValid()
	})
}

func apiServerPorts(addresses []netip.AddrPort) []uint16 {
	var ports []uint16
	for _, address := range addresses {
		ports = append(ports, address.Port())
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

func entityRule(entity string, ports []uint16, protocols ...corev1.Protocol) map[string]any {
	var list []any
	for _, number := range ports {
		for _, protocol := range protocols {
			list = append(list, map[string]any{"port": strconv.Itoa(int(number)), "protocol": string(protocol)})
		}
	}
	return map[string]any{"toEntities": []any{entity}, "toPorts": []any{map[string]any{"ports": list}}}
}

// CiliumInSync reports whether an observed CiliumNetworkPolicy, nil if there is
// none, has the tenant label and the rules of the wanted one, and no others. The
// status, other labels, and annotations are not compared.
func CiliumInSync(observed, wanted *unstructured.Unstructured) bool {
	if observed == nil || CiliumHasForeignRules(observed) {
		return false
	}
	return observed.GetLabels()[names.LabelTenant] == wanted.GetLabels()[names.LabelTenant] &&
		reflect.DeepEqual(observed.Object["spec"], wanted.Object["spec"])
}

// CiliumHasForeignRules reports whether an observed CiliumNetworkPolicy has fields
// that BuildCilium does not set. Server-side apply would leave them.
func CiliumHasForeignRules(observed *unstructured.Unstructured) bool {
	if specs, ok := observed.Object["specs"]; ok && specs != nil {
		return true
	}
	spec, _, err := unstructured.NestedMap(observed.Object, "spec")
	for field := range spec {
		if field != "endpointSelector" && field != "egress" {
			return true
		}
	}
	return err != nil
}
