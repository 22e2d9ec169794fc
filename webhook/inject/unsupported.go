package inject

import (
	"fmt"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// Unsupported returns a Refusal if a valid tenant needs what the settings of the
// webhook do not have, and nil otherwise. Its pods are refused: without the sidecar
// they would leave under another identity than the one that the tenant asks for, or
// not at all.
func (c *Cluster) Unsupported(tenant *v1alpha1.EgressTenant) *Refusal {
	spec, proxy := &tenant.Spec, &c.settings.Proxy
	if !spec.IsProxied() {
		return nil
	}
	switch {
	case spec.HasSidecar() && !proxy.AcceptsSidecars():
		return &Refusal{names.ReasonSidecarNotOffered, fmt.Sprintf("EgressTenant %s has spec.sidecar, but the proxy recognises tenants by their ports alone: "+
			"set spec.proxy.identity in egress.yaml to Offered, run bootstrap apply, and upgrade the chart with the values.yaml that it writes", tenant.Name)}
	case spec.HasSidecar() && len(proxy.Machines) == 0:
		return &Refusal{names.ReasonSidecarNotOffered, fmt.Sprintf("EgressTenant %s has spec.sidecar, but the settings have no certificate of a proxy machine (proxy.machines), which sidecars need: "+
			"run bootstrap apply, and upgrade the chart with the values.yaml that it writes", tenant.Name)}
	case spec.HasSidecar() && c.settings.Sidecar.Image == "":
		return &Refusal{names.ReasonSidecarNotOffered, fmt.Sprintf("EgressTenant %s has spec.sidecar, but the settings have no image of the sidecar (sidecar.image): "+
			"set it in the values of the chart", tenant.Name)}
	case !spec.HasSidecar() && proxy.Identity == v1alpha1.IdentityRequired:
		return &Refusal{names.ReasonSidecarRequired, fmt.Sprintf("EgressTenant %s has no spec.sidecar, but the proxy recognises tenants by the certificates of sidecars alone (proxy.identity Required): "+
			"set spec.sidecar to {}", tenant.Name)}
	case spec.HasClosedDNS() && c.settings.DNS.Closed == nil:
		return &Refusal{names.ReasonClosedDNSMissing, fmt.Sprintf("EgressTenant %s has dns Closed, but the settings have no DNS server for it (dns.closed): "+
			"turn it on in the values of the chart", tenant.Name)}
	}
	return nil
}
