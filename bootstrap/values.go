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

// The path of the chart, and the name and namespace of its release.
const (
	chartPath      = "charts/egress-webhook"
	chartRelease   = "egress-webhook"
	chartNamespace = "egress-system"
)

// The images in the registry, as a release has them.
const (
	webhookImage   = "webhook"
	sidecarImage   = "sidecar"
	bootstrapImage = "bootstrap"
)

// chartValues are the values of the chart that bootstrap sets.
type chartValues struct {
	Cluster clusterValues `json:"cluster"`
	// Image, Sidecar and Watch are missing without a registry.
	Image   *imageValues      `json:"image,omitempty"`
	Proxy   proxyValues       `json:"proxy"`
	Sidecar *programValues    `json:"sidecar,omitempty"`
	Tenants []v1alpha1.Tenant `json:"tenants"`
	Watch   *programValues    `json:"watch,omitempty"`
}

// programValues are the values of another program than the webhook.
type programValues struct {
	Image imageValues `json:"image"`
}

type clusterValues struct {
	CIDRs []string `json:"cidrs"`
}

type imageValues struct {
	Repository string `json:"repository"`
}

type proxyValues struct {
	Addresses []string `json:"addresses"`
	// SpareAddress is that of the machine that serves while the only one is replaced. Empty
	// without one.
	SpareAddress string `json:"spareAddress,omitempty"`
	// Identity and Machines are missing if the proxy serves no sidecars.
	Identity        cloudinit.Identity `json:"identity,omitempty"`
	Machines        []machineValues    `json:"machines,omitempty"`
	EgressAddresses egressValues       `json:"egressAddresses"`
}

// egressValues are the addresses that requests leave by.
type egressValues struct {
	Shared    []string            `json:"shared"`
	Dedicated map[string][]string `json:"dedicated,omitempty"`
	Gateway   []string            `json:"gateway,omitempty"`
}

// values renders the values of the chart. The result is deterministic. An address
// that is not known yet is an error; a machine whose certificate is not known is left
// out.
func values(graph *stack.Graph, spec stack.Spec, machines []machineStatus) ([]byte, error) {
	found := addressesOf(graph, spec)
	if missing := found.missing(len(graph.Proxies), spec); len(missing) > 0 {
		return nil, fmt.Errorf("addresses are not known yet: %v", missing)
	}
	v := chartValues{
		Cluster: clusterValues{CIDRs: clusterCIDRs(graph, spec)},
		Proxy: proxyValues{
			Addresses:       found.Private,
			EgressAddresses: egressValues{Shared: found.Shared, Dedicated: found.Dedicated},
		},
		Tenants: spec.Tenants,
	}
	if spec.Proxy.Identity.Sidecars() {
		v.Proxy.Identity, v.Proxy.Machines = spec.Proxy.Identity, valuesOfMachines(machines)
	}
	if found.Gateway != "" {
		v.Proxy.EgressAddresses.Gateway = []string{found.Gateway}
	}
	if graph.SpareIP != nil {
		v.Proxy.SpareAddress = addressText(graph.SpareIP.Address)
	}
	if v.Tenants == nil {
		v.Tenants = []v1alpha1.Tenant{}
	}
	if graph.Registry != nil {
		if graph.Registry.Endpoint == "" {
			return nil, fmt.Errorf("the endpoint of the registry %s is not known yet", graph.Registry.Name)
		}
		v.Image = &imageValues{graph.Registry.Endpoint + "/" + webhookImage}
		v.Sidecar = &programValues{imageValues{graph.Registry.Endpoint + "/" + sidecarImage}}
		v.Watch = &programValues{imageValues{graph.Registry.Endpoint + "/" + bootstrapImage}}
	}
	text, err := yaml.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding the values of the chart: %w", err)
	}
	header := fmt.Sprintf(`%s for %s. It overwrites this file: change egress.yaml
# instead, or put your own values into a second file (--values may be repeated).
#
#   %s
`, outputMark, spec.Name, helmCommand("values.yaml"))
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

// addresses are the addresses that tenants use and that their destinations see, each list
// in the order of the machines. Addresses that are not known are left out.
type addresses struct {
	// Private are the addresses of the machines in the Private Network, for pods.
	Private []string `json:"private,omitempty"`
	// Shared are the egress addresses of tenants without dedicated ones.
	Shared []string `json:"shared,omitempty"`
	// Dedicated are the dedicated egress addresses by tenant.
	Dedicated map[string][]string `json:"dedicated,omitempty"`
	// Gateway is the address of the Public Gateway.
	Gateway string `json:"gateway,omitempty"`
}

func addressesOf(graph *stack.Graph, spec stack.Spec) addresses {
	var result addresses
	if graph.Gateway != nil {
		result.Gateway = addressText(graph.Gateway.Address)
	}
	if spec.Proxy.SourceAddress == cloudinit.SourceGateway && result.Gateway != "" {
		result.Shared = []string{result.Gateway}
	}
	for _, proxy := range graph.Proxies {
		if proxy.PrivateIP.Address.IsValid() {
			result.Private = append(result.Private, proxy.PrivateIP.Address.String())
		}
		for _, address := range proxy.Addresses {
			if address.Address.IsValid() {
				result.add(address)
			}
		}
	}
	return result
}

// add adds an address that requests leave from.
func (a *addresses) add(address *stack.FlexibleIP) {
	tenant := address.Tenant()
	if tenant == "" {
		a.Shared = append(a.Shared, address.Address.String())
		return
	}
	if a.Dedicated == nil {
		a.Dedicated = map[string][]string{}
	}
	a.Dedicated[tenant] = append(a.Dedicated[tenant], address.Address.String())
}

// missing names the addresses of which some machine's is not known yet.
func (a addresses) missing(machines int, spec stack.Spec) []string {
	var names []string
	if len(a.Private) < machines {
		names = append(names, "private")
	}
	if len(a.Shared) < machines && (len(a.Shared) == 0 || spec.Proxy.SourceAddress != cloudinit.SourceGateway) {
		names = append(names, "shared")
	}
	for _, tenant := range spec.Tenants {
		if tenant.HasDedicatedIP() && len(a.Dedicated[tenant.Name]) < machines {
			names = append(names, tenant.Name)
		}
	}
	return names
}

// of returns the egress addresses of a tenant; there are none if they are not known.
func (a addresses) of(tenant v1alpha1.Tenant) []string {
	switch {
	case !tenant.IsProxied() && a.Gateway != "":
		return []string{a.Gateway}
	case !tenant.IsProxied():
		return nil
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
