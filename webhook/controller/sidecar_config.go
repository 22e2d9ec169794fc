package controller

import (
	"errors"
	"fmt"
	"net/netip"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/sidecar"
	"egress.scw/webhook/api/v1alpha1"
)

// Resolvers are the addresses of the cluster's DNS, as pods without a dnsConfig of
// their own have them. They listen on port 53.
type Resolvers []netip.Addr

// contents returns the contents of the Secret of a tenant.
func (r *SidecarReconciler) contents(tenant *v1alpha1.EgressTenant, id *identity) (map[string][]byte, error) {
	config := &sidecar.Config{Tenant: tenant.Name}
	for _, machine := range r.options.Settings.Proxy.Machines {
		config.Machines = append(config.Machines, sidecar.Machine{
			Address: netip.AddrPortFrom(machine.Address, names.SidecarPort), Certificate: machine.Certificate,
		})
	}
	if tenant.Spec.CapturesNames() {
		resolvers, err := r.resolversOf(tenant)
		if err != nil {
			return nil, err
		}
		config.Capture = &sidecar.Capture{
			Ports: tenant.Spec.AllowList().Ports, ClusterDomain: r.options.Settings.Cluster.Domain, Resolvers: resolvers,
			Direct: r.options.DirectNames(tenant), Ranges: r.options.Settings.Cluster.CIDRs,
		}
	}
	data, err := sidecar.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("the configuration of sidecars of tenant %s is not valid: %w", tenant.Name, err)
	}
	return map[string][]byte{
		names.SidecarCertificateKey: id.certificate, names.SidecarPrivateKeyKey: id.key, names.SidecarConfigKey: data,
	}, nil
}

// resolversOf returns the servers that resolve the cluster's names for a tenant. The
// settings have what the tenant needs.
func (r *SidecarReconciler) resolversOf(tenant *v1alpha1.EgressTenant) ([]netip.AddrPort, error) {
	addresses := r.options.Resolvers
	if tenant.Spec.HasClosedDNS() {
		addresses = Resolvers{r.options.Settings.DNS.Closed.Address}
	}
	if len(addresses) == 0 {
		return nil, errors.New("the webhook's pod has no DNS server of the cluster in its /etc/resolv.conf, which sidecars with capture need")
	}
	servers := make([]netip.AddrPort, 0, sidecar.MaxResolvers)
	for _, address := range addresses[:min(len(addresses), sidecar.MaxResolvers)] {
		servers = append(servers, netip.AddrPortFrom(address, 53))
	}
	return servers, nil
}
