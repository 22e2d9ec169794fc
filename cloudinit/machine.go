package cloudinit

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Machine contains the properties in which one proxy machine differs from
// another.
type Machine struct {
	// Hostname is a DNS label.
	Hostname string

	// PrivateAddress is the machine's address in the Private Network, to which
	// tenants connect and which DHCP must assign to it: IPv4, in PrivateNetwork.
	PrivateAddress netip.Addr

	// PrivateNetwork is the network that tenants' requests come from: IPv4,
	// without host bits.
	PrivateNetwork netip.Prefix

	// SourceAddress selects the address that requests leave by: flexible addresses of this
	// machine, through its public NIC, or the address of the Public Gateway,
	// through its private NIC.
	SourceAddress SourceAddress

	// NameServers are the only servers that Squid may query: at least one, with
	// the conditions of ValidateNameServers.
	NameServers []netip.Addr

	// SSH is whether an SSH server runs, on the public NIC only. The security
	// group restricts the clients that can reach it.
	SSH bool

	// Syslog is the server to which the audit log is sent. Nil: it is not sent.
	Syslog *Syslog

	// Identity is the proof of the tenant of a request. Default: IdentityPort.
	Identity Identity

	// Authority contains the certificates (PEM) of the authority that signs the
	// tenants' certificates. It is part of squid.conf alone: it can change while the
	// machine runs. Empty: not known yet; then the port for sidecars is closed.
	Authority string
}

func (m Machine) validate() field.ErrorList {
	var errs field.ErrorList
	at := field.NewPath("machine")
	for _, problem := range validation.IsDNS1123Label(m.Hostname) {
		errs = append(errs, field.Invalid(at.Child("hostname"), m.Hostname, problem))
	}
	errs = append(errs, m.validateNetwork(at)...)
	switch m.SourceAddress {
	case SourceFlexibleIP:
	case SourceGateway:
		if m.SSH {
			errs = append(errs, field.Forbidden(at.Child("ssh"), "SSH can only be reached at a flexible address: this machine has none"))
		}
	default:
		errs = append(errs, field.NotSupported(at.Child("sourceAddress"), m.SourceAddress, []SourceAddress{SourceFlexibleIP, SourceGateway}))
	}
	errs = append(errs, m.validateIdentity(at)...)
	if m.Syslog != nil {
		errs = append(errs, m.Syslog.Validate(at.Child("syslog"))...)
	}
	return append(errs, m.validateNameServers(at.Child("nameServers"))...)
}

func (m Machine) validateNetwork(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	network := m.PrivateNetwork
	switch {
	case !network.IsValid():
		errs = append(errs, field.Required(at.Child("privateNetwork"), "must be a CIDR"))
	case !network.Addr().Is4():
		errs = append(errs, field.Invalid(at.Child("privateNetwork"), network.String(), "must be an IPv4 network"))
	case network != network.Masked():
		errs = append(errs, field.Invalid(at.Child("privateNetwork"), network.String(), "must have no host bits: write "+network.Masked().String()))
	}
	address := m.PrivateAddress
	switch {
	case !address.IsValid():
		errs = append(errs, field.Required(at.Child("privateAddress"), "must be an IP address"))
	case !address.Is4():
		errs = append(errs, field.Invalid(at.Child("privateAddress"), address.String(), "must be an IPv4 address"))
	case network.IsValid() && !network.Contains(address):
		errs = append(errs, field.Invalid(at.Child("privateAddress"), address.String(), "must be in privateNetwork, "+network.String()))
	}
	return errs
}

func (m Machine) validateNameServers(at *field.Path) field.ErrorList {
	if len(m.NameServers) == 0 {
		return field.ErrorList{field.Required(at, "must contain a server: Squid may query no others")}
	}
	return ValidateNameServers(m.NameServers, m.SourceAddress, at)
}
