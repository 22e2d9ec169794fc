package explain

import (
	"fmt"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/kubectl-egress/coverage"
	"egress.scw/webhook/kubectl-egress/state"
)

// Namespace is the explanation of a namespace.
type Namespace struct {
	Object string `json:"object"`
	Tenant string `json:"tenant,omitempty"`
	// Decision is about an ordinary pod that is created now.
	Decision Decision `json:"decision"`
	Warnings []string `json:"warnings,omitempty"`
	// Variables are those that an ordinary pod gets.
	Variables []Variable         `json:"variables,omitempty"`
	Policy    *Policy            `json:"policy,omitempty"`
	Pods      coverage.Counts    `json:"pods"`
	Uncovered []coverage.Pod     `json:"uncovered,omitempty"`
	Findings  []coverage.Finding `json:"findings,omitempty"`
}

// OfNamespace explains a namespace with the coverage of its pods.
func OfNamespace(s *state.State, namespace inject.Namespace, pods []coverage.Pod) (*Namespace, error) {
	ordinary, err := state.Decode([]byte(`{"spec":{"containers":[{"name":"main"}]}}`))
	if err != nil {
		return nil, err
	}
	admission := s.Admit(ordinary, namespace)
	tenant, _ := namespace.Tenant()
	result := &Namespace{
		Object: "namespace/" + namespace.Name, Tenant: tenant, Warnings: admission.Warnings,
		Decision: Decision{admission.Action, admission.Reason, admission.Message, Remedy(admission.Reason)},
		Findings: coverage.OfNamespace(s, namespace),
	}
	if admission.Action == inject.Inject {
		manifest := state.Manifest{Name: "pod/ordinary", Pod: []byte(`{"spec":{"containers":[{"name":"main"}]}}`)}
		explained, err := OfManifest(s, manifest, namespace, nil)
		if err != nil {
			return nil, err
		}
		result.Decision.Message = "ordinary pods are given the proxy of EgressTenant " + tenant
		result.Variables = explained.Containers[0].Variables
	}
	result.Policy, _ = policyOf(s, namespace)
	for _, pod := range pods {
		result.Pods.Add(pod.Kind)
		if pod.Kind.Uncovered() {
			result.Uncovered = append(result.Uncovered, pod)
		}
	}
	return result, nil
}

// Tenant is the explanation of a tenant.
type Tenant struct {
	Object   string `json:"object"`
	Path     string `json:"path"`
	Port     int32  `json:"port,omitempty"`
	Revision string `json:"revision,omitempty"`
	// ProxyURL is the value of HTTP_PROXY in new pods of the tenant.
	ProxyURL string `json:"proxyURL,omitempty"`
	// Egress are the published source addresses of the tenant's requests.
	Egress  []string `json:"egress"`
	Mode    string   `json:"mode,omitempty"`
	Domains []string `json:"domains,omitempty"`
	Ports   []uint16 `json:"ports,omitempty"`
	// Invalid are the faults of the spec.
	Invalid    []string    `json:"invalid,omitempty"`
	Conditions []Condition `json:"conditions,omitempty"`
	// NotKeptUp is why the conditions may be those of earlier, empty if they are not.
	NotKeptUp  string   `json:"notKeptUp,omitempty"`
	Namespaces []string `json:"namespaces"`
	// Verdict is that of the URL in question.
	Verdict *Verdict `json:"verdict,omitempty"`
}

// Condition is a condition of the tenant's status, with the remedy.
type Condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

// OfTenant explains a tenant. The target may be nil.
func OfTenant(s *state.State, name string, target *Target) (*Tenant, error) {
	tenant := s.Tenant(name)
	if tenant == nil {
		return nil, fmt.Errorf("there is no EgressTenant %s", name)
	}
	result := &Tenant{
		Object: "egresstenant/" + name, Path: "Gateway", Port: tenant.Spec.ProxyPort(),
		Egress: []string{}, Namespaces: append([]string{}, s.NamespacesOf(name)...),
	}
	for _, err := range tenant.Validate() {
		result.Invalid = append(result.Invalid, err.Error())
	}
	for _, address := range s.Settings.Proxy.Egress.Of(tenant) {
		result.Egress = append(result.Egress, address.String())
	}
	if tenant.Spec.IsProxied() {
		list := tenant.Spec.AllowList()
		result.Path, result.Mode, result.Ports = "Proxy", string(list.Mode), list.Ports
		result.Revision, result.ProxyURL = Revision(tenant), s.Cluster.PodProxyURL(tenant)
		for _, domain := range list.Domains {
			result.Domains = append(result.Domains, domain.String())
		}
	}
	for _, finding := range coverage.OfWebhook(s) {
		result.NotKeptUp = finding.Object + " " + finding.Message
	}
	for _, condition := range tenant.Status.Conditions {
		explained := Condition{Type: condition.Type, Status: string(condition.Status), Reason: condition.Reason, Message: condition.Message}
		if condition.Status != "True" {
			explained.Remedy = Remedy(names.Reason(condition.Reason))
		}
		result.Conditions = append(result.Conditions, explained)
	}
	if target != nil {
		verdict := Allowed(tenant, *target)
		result.Verdict = &verdict
	}
	return result, nil
}
