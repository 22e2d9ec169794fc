package coverage

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/kubectl-egress/state"
)

// Report is the state of all tenants.
type Report struct {
	Tenants    []Tenant    `json:"tenants"`
	Machines   []Machine   `json:"machines"`
	Namespaces []Namespace `json:"namespaces"`
	// Uncovered are pods that need an action: the first MaxUncovered.
	Uncovered []Pod     `json:"uncovered"`
	Findings  []Finding `json:"findings"`
	Total     Counts    `json:"total"`
}

// MaxUncovered bounds the pods that a report names.
const MaxUncovered = 1000

// Tenant is a row of the report.
type Tenant struct {
	Name     string `json:"name"`
	Path     string `json:"path"`
	Port     int32  `json:"port,omitempty"`
	Mode     string `json:"mode,omitempty"`
	Ready    string `json:"ready"`
	Reason   string `json:"reason"`
	Message  string `json:"message,omitempty"`
	Revision string `json:"revision,omitempty"`
	// Served is whether every proxy serves the Revision: True, False, or Unknown.
	Served     string   `json:"served,omitempty"`
	Egress     []string `json:"egress"`
	Namespaces int      `json:"namespaces"`
	Pods       Counts   `json:"pods"`
}

// Machine is a proxy machine.
type Machine struct {
	Address string `json:"address"`
	// Serves is the number of tenants whose Revision the machine serves, of Tenants.
	Serves  int `json:"serves"`
	Tenants int `json:"tenants"`
	// Faults are what the tenants' status contains about the machine.
	Faults []string `json:"faults,omitempty"`
}

// Namespace is a namespace with the tenant label.
type Namespace struct {
	Name     string            `json:"name"`
	Tenant   string            `json:"tenant"`
	Policy   state.PolicyState `json:"policy"`
	OptedOut bool              `json:"optedOut"`
	Pods     Counts            `json:"pods"`
}

// Builder builds a Report.
type Builder struct {
	state  *state.State
	counts map[string]*Counts // by namespace
	report Report
}

// NewBuilder returns a Builder without pods.
func NewBuilder(s *state.State) *Builder {
	b := &Builder{state: s, counts: map[string]*Counts{}}
	for i := range s.Namespaces {
		if Labelled(&s.Namespaces[i]) {
			b.counts[s.Namespaces[i].Name] = &Counts{}
		}
	}
	return b
}

// Add adds a pod. Pods of namespaces without the tenant label are left out.
func (b *Builder) Add(pod *corev1.Pod) error {
	counts := b.counts[pod.Namespace]
	if counts == nil {
		return nil
	}
	covered, err := OfPod(b.state, pod)
	if err != nil {
		return err
	}
	counts.Add(covered.Kind)
	if covered.Kind.Uncovered() && len(b.report.Uncovered) < MaxUncovered {
		b.report.Uncovered = append(b.report.Uncovered, covered)
	}
	return nil
}

// Report returns the report of the pods so far.
func (b *Builder) Report() *Report {
	report := Report{Tenants: []Tenant{}, Machines: []Machine{}, Namespaces: []Namespace{}, Uncovered: []Pod{}, Findings: slices.Concat(OfWebhook(b.state), OfCluster(b.state))}
	report.Uncovered = append(report.Uncovered, b.report.Uncovered...)
	slices.SortFunc(report.Uncovered, func(x, y Pod) int { return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name)) })
	perTenant := map[string]Counts{}
	for i := range b.state.Namespaces {
		namespace, _ := b.state.Namespace(b.state.Namespaces[i].Name)
		counts := b.counts[namespace.Name]
		if counts == nil {
			continue
		}
		tenant, _ := namespace.Tenant()
		report.Namespaces = append(report.Namespaces, Namespace{namespace.Name, tenant, b.state.PolicyStateOf(namespace), state.OptedOut(namespace), *counts})
		report.Findings = append(report.Findings, OfNamespace(b.state, namespace)...)
		sum := perTenant[tenant]
		sum.Merge(*counts)
		perTenant[tenant] = sum
		report.Total.Merge(*counts)
	}
	for i := range b.state.Tenants {
		tenant := &b.state.Tenants[i]
		row := b.tenant(tenant, perTenant[tenant.Name])
		report.Tenants = append(report.Tenants, row)
		report.Findings = append(report.Findings, OfTenant(b.state, tenant)...)
	}
	report.Machines = b.machines()
	if report.Findings == nil {
		report.Findings = []Finding{}
	}
	return &report
}

// IsCovered reports whether nothing needs an action.
func (r *Report) IsCovered() bool { return len(r.Findings) == 0 && r.Total.Uncovered() == 0 }

func (b *Builder) tenant(tenant *v1alpha1.EgressTenant, pods Counts) Tenant {
	row := Tenant{
		Name: tenant.Name, Path: "Gateway", Port: tenant.Spec.ProxyPort(), Ready: "Unknown", Reason: string(names.ReasonPending),
		Egress: []string{}, Namespaces: len(b.state.NamespacesOf(tenant.Name)), Pods: pods,
	}
	if ready := meta.FindStatusCondition(tenant.Status.Conditions, names.ConditionReady); ready != nil {
		row.Ready, row.Reason, row.Message = string(ready.Status), ready.Reason, ready.Message
	}
	for _, address := range b.state.Settings.Proxy.Egress.Of(tenant) {
		row.Egress = append(row.Egress, address.String())
	}
	if tenant.Spec.IsProxied() {
		row.Path, row.Mode, row.Served = "Proxy", string(tenant.Spec.AllowList().Mode), "Unknown"
		row.Revision = v1alpha1.Tenant{Name: tenant.Name, EgressTenantSpec: tenant.Spec}.Revision()
		if served := meta.FindStatusCondition(tenant.Status.Conditions, names.ConditionProxyReachable); served != nil {
			row.Served = string(served.Status)
		}
	}
	return row
}

// machines returns a row for each proxy. The leader of the webhook asks the proxies, and
// names a proxy in a tenant's status only if it does not serve the tenant: also in a
// positive one, for which a single machine is sufficient.
func (b *Builder) machines() []Machine {
	machines := []Machine{}
	for _, address := range b.state.Settings.Proxy.Addresses {
		machine := Machine{Address: address.String()}
		for i := range b.state.Tenants {
			tenant := &b.state.Tenants[i]
			if !tenant.Spec.IsProxied() {
				continue
			}
			machine.Tenants++
			served := meta.FindStatusCondition(tenant.Status.Conditions, names.ConditionProxyReachable)
			switch {
			case served == nil:
			case !namesAddress(served.Message, machine.Address):
				machine.Serves++
			default:
				machine.Faults = append(machine.Faults, fmt.Sprintf("%s: %s", tenant.Name, served.Message))
			}
		}
		machines = append(machines, machine)
	}
	return machines
}

// namesAddress reports whether a text contains the address, not only a longer one that
// begins or ends like it.
func namesAddress(text, address string) bool {
	inside := func(r rune) bool { return !strings.ContainsRune("0123456789abcdef.", r) }
	return slices.ContainsFunc(strings.FieldsFunc(text, inside), func(word string) bool { return strings.TrimRight(word, ".") == address })
}

// OfTenant returns the faults of a tenant.
func OfTenant(s *state.State, tenant *v1alpha1.EgressTenant) []Finding {
	object := "egresstenant/" + tenant.Name
	var findings []Finding
	ready := meta.FindStatusCondition(tenant.Status.Conditions, names.ConditionReady)
	switch {
	case ready == nil:
		findings = append(findings, Finding{object, "has no status: no replica of the webhook leads", "look at the webhook's Deployment in the release namespace"})
	case ready.Status != "True":
		findings = append(findings, Finding{object, "is not ready (" + ready.Reason + "): " + ready.Message, "kubectl egress explain tenant " + tenant.Name})
	case ready.ObservedGeneration != tenant.Generation:
		findings = append(findings, Finding{object, "its status is about a former spec: no replica of the webhook leads", "look at the webhook's Deployment in the release namespace"})
	}
	if len(s.Settings.Proxy.Egress.Of(tenant)) == 0 && len(s.NamespacesOf(tenant.Name)) > 0 {
		findings = append(findings, Finding{
			object, unpublished,
			"run bootstrap apply, and helm upgrade with the values.yaml that it writes (proxy.egressAddresses)",
		})
	}
	return findings
}

// unpublished is the message about a tenant without a published address.
const unpublished = "its source address is not published, so that it is not known which address the tenant leaves from"

// IsUnpublished reports whether the finding is about an address that is not published.
func (f Finding) IsUnpublished() bool { return f.Message == unpublished }
