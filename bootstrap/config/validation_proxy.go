package config

import (
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/cloudinit"
	"egress.scw/webhook/api/v1alpha1"
)

const (
	minProxyVolumeGB = 10
	maxProxyVolumeGB = 1000
	maxNameServers   = 3 // The limit of resolv.conf, which lists them too.
)

func (s *Spec) validateProxy(at *field.Path) field.ErrorList {
	p := s.Proxy
	errs := validateType(p.Type, at.Child("type"))
	if !imageForm.MatchString(p.Image) {
		errs = append(errs, field.Invalid(at.Child("image"), p.Image, "must be the label of a marketplace image, such as debian_trixie"))
	}
	if p.VolumeGB < minProxyVolumeGB || p.VolumeGB > maxProxyVolumeGB {
		errs = append(errs, field.Invalid(at.Child("volumeGB"), p.VolumeGB, fmt.Sprintf("must be between %d and %d", minProxyVolumeGB, maxProxyVolumeGB)))
	}
	errs = append(errs, s.validateMachines(at)...)
	if p.SourceAddress != cloudinit.SourceFlexibleIP && p.SourceAddress != cloudinit.SourceGateway {
		errs = append(errs, field.NotSupported(at.Child("sourceAddress"), p.SourceAddress,
			[]cloudinit.SourceAddress{cloudinit.SourceFlexibleIP, cloudinit.SourceGateway}))
	}
	errs = append(errs, s.validateNameServers(at.Child("nameServers"))...)
	errs = append(errs, s.validateIdentity(at)...)
	if syslog := p.AuditLog.Syslog; syslog != nil {
		errs = append(errs, syslog.Validate(at.Child("auditLog", "syslog"))...)
	}
	return append(errs, p.validateSSHSources(at.Child("sshSources"))...)
}

func (p *ProxyMachine) validateSSHSources(at *field.Path) field.ErrorList {
	if p.SourceAddress == cloudinit.SourceGateway && len(p.SSHSources) > 0 {
		return field.ErrorList{field.Forbidden(at, "with spec.proxy.sourceAddress Gateway the proxy accepts no connections on its public address: remove it")}
	}
	return validateIPv4CIDRs(p.SSHSources, at, func(source netip.Prefix) string {
		if source.Bits() == 0 {
			return "must not be all addresses: SSH access gives full control of the proxy; list the networks of your administrators"
		}
		return ""
	})
}

func (s *Spec) validateIdentity(at *field.Path) field.ErrorList {
	p, authority := s.Proxy, at.Child("authority")
	var errs field.ErrorList
	switch {
	case !slices.Contains(cloudinit.Identities(), p.Identity):
		return field.ErrorList{field.NotSupported(at.Child("identity"), p.Identity, cloudinit.Identities())}
	case !p.Identity.Sidecars():
		if p.Authority != "" {
			errs = append(errs, field.Forbidden(authority, "with spec.proxy.identity Port the proxy verifies no certificates: remove it"))
		}
		return errs
	case p.Authority != "":
		errs = append(errs, cloudinit.ValidateAuthority(p.Authority, authority)...)
	case !s.Cluster.BootstrapManages():
		errs = append(errs, field.Required(authority, "bootstrap does not know the cluster: copy the certificates from the ConfigMap egress-sidecar-ca of the chart"))
	}
	proxied := 0
	for _, tenant := range s.Tenants {
		if tenant.IsProxied() {
			proxied++
		}
	}
	if p.Identity == cloudinit.IdentityOffered && proxied > cloudinit.MaxTenantsOfTwoPorts {
		errs = append(errs, field.Invalid(at.Child("identity"), p.Identity,
			fmt.Sprintf("must be Port or Required with %d tenants on the proxy: Offered takes two of its ports for each, which suffice for %d", proxied, cloudinit.MaxTenantsOfTwoPorts)))
	}
	return errs
}

// validateSidecars requires that the proxy accepts the proof that the pods of each tenant
// have: the cluster would refuse new pods of the others.
func validateSidecars(tenants []v1alpha1.Tenant, identity cloudinit.Identity, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, tenant := range tenants {
		sidecar := at.Index(i).Child("sidecar")
		switch {
		case tenant.Sidecar != nil && identity == cloudinit.IdentityPort:
			errs = append(errs, field.Forbidden(sidecar, "with spec.proxy.identity Port the proxy serves no sidecars: remove it, or set the identity to Offered or Required"))
		case tenant.Sidecar == nil && tenant.IsProxied() && identity == cloudinit.IdentityRequired:
			errs = append(errs, field.Required(sidecar, "with spec.proxy.identity Required the proxy refuses requests without a certificate: write sidecar: {}"))
		}
	}
	return errs
}
