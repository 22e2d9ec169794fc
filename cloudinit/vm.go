package cloudinit

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// VM is what differs between one proxy machine and another.
type VM struct {
	// Hostname is a DNS label.
	Hostname string

	// PrivateAddress is the machine's address in the Private Network: the one
	// that tenants reach it at, which DHCP must give it. IPv4, in
	// PrivateNetwork.
	PrivateAddress netip.Addr

	// PrivateNetwork is where tenants' requests come from: IPv4, without host
	// bits.
	PrivateNetwork netip.Prefix

	// Egress says what requests leave by: flexible addresses of this machine,
	// by its public NIC, or the Public Gateway, by its private one.
	Egress SourceAddress

	// NameServers are the only ones that Squid may ask: at least one, IPv4,
	// neither of loopback nor link-local, none twice; not private either with
	// egress FlexibleIP, by which they are asked.
	NameServers []netip.Addr

	// SSH says whether an SSH server runs, for the public NIC alone. Who may
	// reach it there is the security group's business.
	SSH bool

	// Syslog is a server that is sent the audit log. Nil: none is.
	Syslog *Syslog
}

func (vm VM) validate() field.ErrorList {
	var errs field.ErrorList
	at := field.NewPath("vm")
	for _, problem := range validation.IsDNS1123Label(vm.Hostname) {
		errs = append(errs, field.Invalid(at.Child("hostname"), vm.Hostname, problem))
	}
	errs = append(errs, vm.validateNetwork(at)...)
	switch vm.Egress {
	case SourceFlexibleIP:
	case SourceGateway:
		if vm.SSH {
			errs = append(errs, field.Forbidden(at.Child("ssh"), "without a flexible address there is none that SSH could be reached at"))
		}
	default:
		errs = append(errs, field.NotSupported(at.Child("egress"), vm.Egress,
			[]SourceAddress{SourceFlexibleIP, SourceGateway}))
	}
	if vm.Syslog != nil {
		errs = append(errs, vm.Syslog.Validate(at.Child("syslog"))...)
	}
	return append(errs, vm.validateNameServers(at.Child("nameServers"))...)
}

// packages are what the machine installs.
func (vm VM) packages() []string {
	packages := Packages()
	if vm.Syslog != nil {
		packages = append(packages, SyslogPackages()...)
	}
	return packages
}

func (vm VM) validateNetwork(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	network := vm.PrivateNetwork
	switch {
	case !network.IsValid():
		errs = append(errs, field.Required(at.Child("privateNetwork"), "must be a CIDR"))
	case !network.Addr().Is4():
		errs = append(errs, field.Invalid(at.Child("privateNetwork"), network.String(), "must be of IPv4"))
	case network != network.Masked():
		errs = append(errs, field.Invalid(at.Child("privateNetwork"), network.String(), "must have no host bits: write "+network.Masked().String()))
	}
	address := vm.PrivateAddress
	switch {
	case !address.IsValid():
		errs = append(errs, field.Required(at.Child("privateAddress"), "must be an IP address"))
	case !address.Is4():
		errs = append(errs, field.Invalid(at.Child("privateAddress"), address.String(), "must be of IPv4"))
	case network.IsValid() && !network.Contains(address):
		errs = append(errs, field.Invalid(at.Child("privateAddress"), address.String(), "must be in privateNetwork, "+network.String()))
	}
	return errs
}

func (vm VM) validateNameServers(at *field.Path) field.ErrorList {
	if len(vm.NameServers) == 0 {
		return field.ErrorList{field.Required(at, "must name a server: Squid can ask no other")}
	}
	return ValidateNameServers(vm.NameServers, vm.Egress, at)
}
