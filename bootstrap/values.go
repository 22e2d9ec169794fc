package main

import (
	"fmt"
	"net/netip"
	"slices"

	"al.essio.dev/pkg/shellescape"
	"sigs.k8s.io/yaml"

	"egress.scw/bootstrap/stack"
	"egress.scw/cloudinit"
	"egress.scw/webhook/api/v1alpha1"
)

// valuesMark is part of every file of values that bootstrap writes. Files without
// it are not overwritten.
const valuesMark = "# Written by bootstrap apply"

// The path of the chart, and the name and namespace of its release.
const (
	chartPath      = "charts/egress-webhook"
	chartRelease   = "egress-webhook"
	chartNamespace = "egress-system"
	webhookImage   = "webhook"
)

// chartValues are the values of the chart that bootstrap sets.
type chartValues struct {
	Cluster clusterValues     `json:"cluster"`
	Image   *imageValues      `json:"image,omitempty"`
	Proxy   proxyValues       `json:"proxy"`
	Tenants []v1alpha1.Tenant `json:"tenants"`
}

type clusterValues struct {
	CIDRs []string `json:"cidrs"`
}

type imageValues struct {
	Repository string `json:"repository"`
}

type proxyValues struct {
	Addresses []string `json:"addresses"`
	// Identity and Machines are missing if the proxy serves no sidecars.
	Identity        cloudinit.Identity `json:"identity,omitempty"`
	Machines        []machineValues    `json:"machines,omitempty"`
	EgressAddresses egressValues       `json:"egressAddresses"`
}

// egressValues are the addresses that requests leave by.
type egressValues struct {
	Shared    []string          `json:"shared"`
	Dedicated map[string]string `json:"dedicated,omitempty"`
	Gateway   []string          `json:"gateway,omitempty"`
}

// values renders the values of the chart. The result is deterministic. An address
// that is not known yet is an error; a machine whose certificate is not known is left
// out.
func values(graph *stack.Graph, spec stack.Spec, machines []machineStatus) ([]byte, error) {
	found := addressesOf(graph, spec)
	if missing := found.missing(spec); len(missing) > 0 {
		return nil, fmt.Errorf("addresses are not known yet: %v", missing)
	}
	v := chartValues{
		Cluster: clusterValues{CIDRs: clusterCIDRs(graph, spec)},
		Proxy: proxyValues{
			Addresses:       []string{found.Private},
			EgressAddresses: egressValues{Shared: []string{found.Shared}, Dedicated: found.Dedicated},
		},
		Tenants: spec.Tenants,
	}
	if spec.Proxy.Identity.Sidecars() {
		v.Proxy.Identity, v.Proxy.Machines = spec.Proxy.Identity, valuesOfMachines(machines)
	}
	if found.Gateway != "" {
		v.Proxy.EgressAddresses.Gateway = []string{found.Gateway}
	}
	if v.Tenants == nil {
		v.Tenants = []v1alpha1.Tenant{}
	}
	if graph.Registry != nil {
		if graph.Registry.Endpoint == "" {
			return nil, fmt.Errorf("the endpoint of the registry %s is not known yet", graph.Registry.Name)
		}
		v.Image = &imageValues{Repository: graph.Registry.Endpoint + "/" + webhookImage}
	}
	text, err := yaml.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding the values of the chart: %w", err)
	}
	header := fmt.Sprintf(`%s for %s. It overwrites this file: change egress.yaml
# instead, or put your own values into a second file (--values may be repeated).
#
#   %s
`, valuesMark, spec.Name, helmCommand("values.yaml"))
	return append([]byte(header), text...), nil
}

// helmCommand is the command that installs or upgrades the chart.
func helmCommand(file string) string {
	return "helm upgrade --install " + chartRelease + " " + chartPath + " --namespace " + chartNamespace +
		" --create-namespace --values " + shellescape.Quote(file) + " --wait"
}

// clusterCIDRs are the ranges that pods reach without the proxy: Services, pods,
// and the Private Network with the nodes.
func clusterCIDRs(graph *stack.Graph, spec stack.Spec) []string {
	var prefixes []netip.Prefix
	if spec.Cluster != nil {
		prefixes = slices.Clone(spec.Cluster.CIDRs)
	}
	if graph.Cluster != nil {
		prefixes = append(prefixes, graph.Cluster.ServiceCIDR, graph.Cluster.PodCIDR)
	}
	prefixes = append(prefixes, graph.Network.CIDR)
	texts := []string{}
	for _, prefix := range prefixes {
		if prefix.IsValid() && !slices.Contains(texts, prefix.String()) {
			texts = append(texts, prefix.String())
		}
	}
	return texts
}

// addresses are the addresses that tenants use and that their destinations see.
// Addresses that are not known are empty.
type addresses struct {
	// Private is the address of the proxy in the Private Network, for pods.
	Private string `json:"private,omitempty"`
	// Shared is the egress address of tenants without a dedicated one.
	Shared string `json:"shared,omitempty"`
	// Dedicated are the dedicated egress addresses by tenant.
	Dedicated map[string]string `json:"dedicated,omitempty"`
	// Gateway is the address of the Public Gateway.
	Gateway string `json:"gateway,omitempty"`
}

func addressesOf(graph *stack.Graph, spec stack.Spec) addresses {
	result := addresses{Private: addressText(graph.Proxies[0].PrivateIP.Address)}
	if graph.Gateway != nil {
		result.Gateway = addressText(graph.Gateway.Address)
	}
	if spec.Proxy.SourceAddress == cloudinit.SourceGateway {
		result.Shared = result.Gateway
	}
	byRole := map[string]string{}
	for _, address := range graph.Proxies[0].Addresses {
		byRole[address.Role] = addressText(address.Address)
	}
	if shared := byRole[stack.RoleShared]; shared != "" {
		result.Shared = shared
	}
	for _, tenant := range spec.Tenants {
		if address := byRole[stack.RoleTenant(tenant.Name)]; address != "" {
			if result.Dedicated == nil {
				result.Dedicated = map[string]string{}
			}
			result.Dedicated[tenant.Name] = address
		}
	}
	return result
}

// missing names the addresses that are not known yet.
func (a addresses) missing(spec stack.Spec) []string {
	var names []string
	if a.Private == "" {
		names = append(names, "private")
	}
	if a.Shared == "" {
		names = append(names, "shared")
	}
	for _, tenant := range spec.Tenants {
		if tenant.HasDedicatedIP() && a.Dedicated[tenant.Name] == "" {
			names = append(names, tenant.Name)
		}
	}
	return names
}

// of returns the egress address of a tenant; it is empty if it is not known.
func (a addresses) of(tenant v1alpha1.Tenant) string {
	switch {
	case !tenant.IsProxied():
		return a.Gateway
	case tenant.HasDedicatedIP():
		return a.Dedicated[tenant.Name]
	}
	return a.Shared
}

func addressText(address netip.Addr) string {
	if !address.IsValid() {
		return ""
	}
	return address.String()
}
