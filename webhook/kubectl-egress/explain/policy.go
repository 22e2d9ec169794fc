package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/kubectl-egress/state"
)

// Policy describes the NetworkPolicy of a namespace.
type Policy struct {
	Name  string            `json:"name"`
	State state.PolicyState `json:"state"`
	// Egress are the destinations that are open.
	Egress []string `json:"egress"`
	// Ingress are the sources that are open. Nil stands for all.
	Ingress []string `json:"ingress,omitempty"`
	// Foreign are policies of other clients with egress rules.
	Foreign []string `json:"foreign,omitempty"`
}

// policyOf describes the NetworkPolicy that holds in a namespace: the one that was
// read, or else the one that the webhook writes. It is nil for a namespace without one.
func policyOf(s *state.State, namespace inject.Namespace) (*Policy, *networkingv1.NetworkPolicy) {
	holds := s.Policies[namespace.Name]
	if holds == nil && s.Policies == nil {
		holds = s.WantedPolicy(namespace)
	}
	described := &Policy{Name: names.PolicyName, State: s.PolicyStateOf(namespace), Foreign: s.Foreign[namespace.Name]}
	if holds == nil && described.State != state.PolicyMissing {
		return nil, nil
	}
	if holds == nil {
		return described, nil
	}
	for _, rule := range holds.Spec.Egress {
		described.Egress = append(described.Egress, describeEgress(rule))
	}
	if slices.Contains(holds.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) {
		described.Ingress = []string{}
		for _, rule := range holds.Spec.Ingress {
			described.Ingress = append(described.Ingress, describePeers(rule.From)+describePorts(rule.Ports))
		}
	}
	return described, holds
}

func describeEgress(rule networkingv1.NetworkPolicyEgressRule) string {
	return describePeers(rule.To) + describePorts(rule.Ports)
}

func describePeers(peers []networkingv1.NetworkPolicyPeer) string {
	if len(peers) == 0 {
		return "everything"
	}
	var texts []string
	for _, peer := range peers {
		texts = append(texts, describePeer(peer))
	}
	return strings.Join(texts, ", ")
}

func describePeer(peer networkingv1.NetworkPolicyPeer) string {
	if block := peer.IPBlock; block != nil {
		address, single := strings.CutSuffix(block.CIDR, "/32")
		if !single {
			address = strings.TrimSuffix(block.CIDR, "/128")
		}
		if len(block.Except) > 0 {
			address += fmt.Sprintf(" except %d ranges", len(block.Except))
		}
		return address
	}
	text := "pods"
	if peer.PodSelector != nil && len(peer.PodSelector.MatchLabels) > 0 {
		text += " with " + labels(peer.PodSelector.MatchLabels)
	}
	if peer.NamespaceSelector != nil {
		if name, ok := peer.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"]; ok && len(peer.NamespaceSelector.MatchLabels) == 1 {
			return text + " of namespace " + name
		}
		return text + " of namespaces with " + labels(peer.NamespaceSelector.MatchLabels)
	}
	return text
}

func labels(matched map[string]string) string {
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(matched)) {
		texts = append(texts, name+"="+matched[name])
	}
	return strings.Join(texts, ",")
}

func describePorts(ports []networkingv1.NetworkPolicyPort) string {
	if len(ports) == 0 {
		return ", every port"
	}
	var texts []string
	for _, port := range ports {
		text := "TCP"
		if port.Protocol != nil {
			text = string(*port.Protocol)
		}
		if port.Port != nil {
			text += " " + port.Port.String()
		}
		texts = append(texts, text)
	}
	return ", " + strings.Join(texts, " and ")
}
