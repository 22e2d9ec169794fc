// Package state is the part of a cluster that kubectl egress reads, and the pure
// questions about it. It is filled from a cluster, or from files.
package state

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/noproxy"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/netpol"
	"egress.scw/webhook/settings"
)

// State is what was read of a cluster at one time. It must not be changed.
type State struct {
	Settings *settings.Settings
	// Cluster has the values that all pods have in common, of the settings.
	Cluster *inject.Cluster
	// APIServer are the addresses and ports at which the API server listens.
	APIServer []netip.AddrPort
	// Tenants are sorted by name.
	Tenants []v1alpha1.EgressTenant
	// Namespaces are sorted by name.
	Namespaces []corev1.Namespace
	// Services are those of the namespaces in question.
	Services []corev1.Service
	// Policies are the NetworkPolicies called names.PolicyName, by namespace. The map
	// is nil if the State comes from files: then policies are not known.
	Policies map[string]*networkingv1.NetworkPolicy
	// Foreign are the policies of other clients with egress rules, as
	// "NAMESPACE/KIND NAME", by namespace.
	Foreign map[string][]string
	// MissingGuards are the names of guards without a binding.
	MissingGuards []string
	// Webhook is the Deployment of the webhook. It is nil if the State comes from files.
	Webhook *Webhook
}

// Webhook is the state of the webhook's Deployment.
type Webhook struct {
	// Name is "NAMESPACE/NAME".
	Name string
	// Ready is the number of replicas that answer.
	Ready int32
}

// NewCluster returns the values that all pods have in common. serviceHost is the
// address of the API server for pods. version is the webhook's, which the status
// annotation of pods contains.
func NewCluster(s *settings.Settings, serviceHost, version string) (*inject.Cluster, error) {
	entry, err := noproxy.Parse(serviceHost)
	if err != nil {
		return nil, err
	}
	return inject.NewCluster(s, entry, version)
}

// Tenant returns the EgressTenant of a name, nil if there is none.
func (s *State) Tenant(name string) *v1alpha1.EgressTenant {
	at, found := slices.BinarySearchFunc(s.Tenants, name, func(t v1alpha1.EgressTenant, name string) int { return strings.Compare(t.Name, name) })
	if !found {
		return nil
	}
	return &s.Tenants[at]
}

// Namespace returns the part of a namespace that decisions depend on, and whether the
// namespace exists.
func (s *State) Namespace(name string) (inject.Namespace, bool) {
	at, found := slices.BinarySearchFunc(s.Namespaces, name, func(n corev1.Namespace, name string) int { return strings.Compare(n.Name, name) })
	if !found {
		return inject.Namespace{Name: name}, false
	}
	return s.namespace(&s.Namespaces[at]), true
}

func (s *State) namespace(object *corev1.Namespace) inject.Namespace {
	return inject.Namespace{
		Name: object.Name, Labels: object.Labels, Annotations: object.Annotations,
		Protected: s.Settings.ProtectedNamespaces.Has(object.Name),
	}
}

// NamespacesOf returns the names of the namespaces that belong to a tenant, sorted.
func (s *State) NamespacesOf(tenant string) []string {
	var found []string
	for i := range s.Namespaces {
		namespace := s.namespace(&s.Namespaces[i])
		if name, _ := namespace.Tenant(); name == tenant && name != "" && !namespace.Protected {
			found = append(found, namespace.Name)
		}
	}
	return found
}

// TenantOf returns the EgressTenant in a namespace's label, nil if there is none.
func (s *State) TenantOf(namespace inject.Namespace) *v1alpha1.EgressTenant {
	name, labelled := namespace.Tenant()
	if !labelled || name == "" {
		return nil
	}
	return s.Tenant(name)
}

// maxNeighbours is that of the webhook: no more entries fit into NO_PROXY.
const maxNeighbours = noproxy.MaxBytes / 2

// neighbours returns the neighbours of a tenant's namespace.
func (s *State) neighbours(tenant, namespace string) *inject.Neighbours {
	found := &inject.Neighbours{}
	namespaces := s.NamespacesOf(tenant)
	for _, name := range namespaces[:min(len(namespaces), maxNeighbours)] {
		if name != namespace {
			found.Namespaces = append(found.Namespaces, name)
		}
	}
	for i := range s.Services {
		if service := &s.Services[i]; service.Namespace == namespace {
			found.Services = append(found.Services, inject.Service{Name: service.Name, ClusterIPs: service.Spec.ClusterIPs})
		}
	}
	slices.SortFunc(found.Services, func(a, b inject.Service) int { return strings.Compare(a.Name, b.Name) })
	found.Services = found.Services[:min(len(found.Services), maxNeighbours)]
	return found
}

// WantedPolicy returns the NetworkPolicy that the webhook keeps in a namespace, nil for
// a namespace that has none.
func (s *State) WantedPolicy(namespace inject.Namespace) *networkingv1.NetworkPolicy {
	name, labelled := namespace.Tenant()
	switch tenant := s.TenantOf(namespace); {
	case !labelled || namespace.Protected:
		return nil
	case tenant == nil:
		return netpol.BuildClosed(name, namespace.Name)
	default:
		return netpol.Build(tenant, namespace.Name, s.Settings, s.APIServer...)
	}
}

// PolicyState is the state of a namespace's NetworkPolicy.
type PolicyState string

const (
	// PolicyInSync means that the NetworkPolicy is as the webhook writes it.
	PolicyInSync PolicyState = "InSync"
	// PolicyOutOfSync means that it has another label or other rules.
	PolicyOutOfSync PolicyState = "OutOfSync"
	// PolicyMissing means that there is none, and should be one.
	PolicyMissing PolicyState = "Missing"
	// PolicyNone means that the namespace needs none.
	PolicyNone PolicyState = "None"
	// PolicyUnknown means that it was not read.
	PolicyUnknown PolicyState = "Unknown"
)

// PolicyStateOf compares the NetworkPolicy of a namespace with the wanted one.
func (s *State) PolicyStateOf(namespace inject.Namespace) PolicyState {
	wanted := s.WantedPolicy(namespace)
	switch observed := s.Policies[namespace.Name]; {
	case s.Policies == nil:
		return PolicyUnknown
	case wanted == nil:
		return PolicyNone
	case observed == nil:
		return PolicyMissing
	case !netpol.InSync(observed, wanted):
		return PolicyOutOfSync
	}
	return PolicyInSync
}

// OptedOut reports whether the namespace's label turns injection off.
func OptedOut(namespace inject.Namespace) bool { return namespace.Labels[names.LabelInject] == "false" }
