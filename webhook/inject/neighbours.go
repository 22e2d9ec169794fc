package inject

import (
	"slices"

	"egress.scw/webhook/api/noproxy"
)

// Neighbours are names and addresses in the cluster that the pods of a namespace
// reach without the proxy, beside those that always belong to it. They come and go
// while pods run. They are shared and must not be changed.
type Neighbours struct {
	// Namespaces are the names of the tenant's other namespaces, sorted.
	Namespaces []string
	// Services are those of the namespace, sorted by name.
	Services []Service
}

// Service is a Service of Kubernetes.
type Service struct {
	Name string
	// ClusterIPs are the addresses of the Service. A headless one has "None", and one
	// of type ExternalName none.
	ClusterIPs []string
}

// headless reports whether the pods of the Service have names below its name.
func (s *Service) headless() bool { return slices.Contains(s.ClusterIPs, "None") }

// entries returns the entries of NO_PROXY in the order in which they are added until
// its bound is reached: the names of the Services, the namespaces, and the addresses of
// the Services, which only clients need that do not read the ranges of cluster.cidrs.
//
// The names of Services are the only ones without a dot that are added: of the forms
// that a client may find there, only the exact name has the same meaning for all
// clients.
func (n *Neighbours) entries() []string {
	if n == nil {
		return nil
	}
	var entries, addresses []string
	for i := range n.Services {
		service := &n.Services[i]
		if noproxy.IsBareName(service.Name) {
			entries = append(entries, service.Name)
		}
		if service.headless() && !noproxy.IsPublicSuffix(service.Name) {
			entries = append(entries, "."+service.Name)
		}
		for _, address := range service.ClusterIPs {
			if address != "None" {
				addresses = append(addresses, address)
			}
		}
	}
	for _, namespace := range n.Namespaces {
		if !noproxy.IsPublicSuffix(namespace) {
			entries = append(entries, "."+namespace)
		}
	}
	return append(entries, addresses...)
}
