package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/cloudinit"
)

// maxReplicas is the maximum number of machines. A tenant's partners admit as many
// addresses as there are machines.
const maxReplicas = 4

// validateMachines validates the number of the machines, their zones and addresses.
func (s *Spec) validateMachines(at *field.Path) field.ErrorList {
	p := s.Proxy
	var errs field.ErrorList
	if p.Replicas < 1 || p.Replicas > maxReplicas {
		errs = append(errs, field.Invalid(at.Child("replicas"), p.Replicas, fmt.Sprintf("must be between 1 and %d", maxReplicas)))
	}
	errs = append(errs, s.refuseUnusedZones(at.Child("zones"))...)
	for i, zone := range p.Zones {
		if zone != s.Zone { // otherwise the error is that of spec.zone
			errs = append(errs, s.validateZone(zone, at.Child("zones").Index(i))...)
		}
		if slices.Contains(p.Zones[:i], zone) {
			errs = append(errs, field.Duplicate(at.Child("zones").Index(i), zone))
		}
	}
	return append(errs, s.validateAddresses(at)...)
}

// refuseUnusedZones refuses zones in which no machine would be. They are not known while the
// number of machines is out of bounds.
func (s *Spec) refuseUnusedZones(at *field.Path) field.ErrorList {
	replicas, zones := int(s.Proxy.Replicas), s.Proxy.Zones
	if replicas < 1 || replicas > maxReplicas || len(zones) <= replicas {
		return nil
	}
	return field.ErrorList{field.Invalid(at, len(zones), fmt.Sprintf(
		"must have at most one zone for each machine: spec.proxy.replicas is %d: raise it, or remove %s", replicas, strings.Join(zones[replicas:], ", ")))}
}

// validateAddresses requires a private address for each machine, in one of the two forms.
func (s *Spec) validateAddresses(at *field.Path) field.ErrorList {
	p, one, list := s.Proxy, at.Child("privateIP"), at.Child("privateIPs")
	var errs field.ErrorList
	switch given := len(p.PrivateIPs); {
	case p.PrivateIP.IsValid() && given > 0:
		errs = append(errs, field.Forbidden(one, "spec.proxy.privateIPs has the addresses: remove one of the two"))
	case given == 0 && p.Replicas <= 1 && !p.PrivateIP.IsValid():
		return field.ErrorList{field.Required(one, "the address of the proxy in the Private Network")}
	case given == 0 && p.Replicas > 1 && p.PrivateIP.IsValid():
		errs = append(errs, field.Forbidden(one, fmt.Sprintf("is the address of one machine, and spec.proxy.replicas is %d: list the addresses in spec.proxy.privateIPs instead, this one first", p.Replicas)))
	case given == 0 && p.Replicas > 1:
		return field.ErrorList{field.Required(list, fmt.Sprintf("the addresses of the %d machines in the Private Network", p.Replicas))}
	case given > 0 && given != int(p.Replicas):
		errs = append(errs, field.Invalid(list, given, fmt.Sprintf("must have one address for each machine: spec.proxy.replicas is %d", p.Replicas)))
	}
	if p.PrivateIP.IsValid() {
		errs = append(errs, s.validateAddress(p.PrivateIP, one)...)
	}
	for i, address := range p.PrivateIPs {
		errs = append(errs, s.validateAddress(address, list.Index(i))...)
		if slices.Contains(p.PrivateIPs[:i], address) {
			errs = append(errs, field.Duplicate(list.Index(i), address.String()))
		}
	}
	return errs
}

func (s *Spec) validateAddress(address netip.Addr, at *field.Path) field.ErrorList {
	if problem := s.addressProblem(address); problem != "" {
		return field.ErrorList{field.Invalid(at, address.String(), problem)}
	}
	return nil
}

// addressProblem describes why an address cannot be a machine's in the Private Network.
func (s *Spec) addressProblem(address netip.Addr) string {
	if !address.Is4() || !isPrivate(netip.PrefixFrom(address, address.BitLen())) {
		return mustBePrivate
	}
	if network := s.Network.CIDR; network.IsValid() && network.Addr().Is4() {
		switch {
		case !network.Contains(address):
			return "must be in spec.network.cidr, " + network.String()
		case IsReserved(network, address):
			return "must not be one of the first two and the last two addresses of spec.network.cidr, " + network.String() + ": Scaleway reserves them"
		}
	}
	for _, taken := range s.Cluster.ranges() {
		if taken.prefix.Contains(address) {
			return fmt.Sprintf("must not be in %s, %s", taken.prefix, taken.path)
		}
	}
	return ""
}

func (s *Spec) validateNameServers(at *field.Path) field.ErrorList {
	servers := s.Proxy.NameServers
	if len(servers) == 0 {
		return s.requireResolvers(at)
	}
	var errs field.ErrorList
	if len(servers) > maxNameServers {
		errs = append(errs, field.TooMany(at, len(servers), maxNameServers))
	}
	return append(errs, cloudinit.ValidateNameServers(servers, s.Proxy.SourceAddress, at)...)
}

// requireResolvers requires name servers if there is a machine in a zone without a
// default.
func (s *Spec) requireResolvers(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	var seen []string
	for _, machine := range s.Machines() {
		// Once a wrong zone is corrected, there may be a default.
		if len(machine.NameServers) > 0 || !zoneForm.MatchString(machine.Zone) || slices.Contains(seen, machine.Zone) {
			continue
		}
		seen = append(seen, machine.Zone)
		errs = append(errs, field.Required(at, "Scaleway documents no public resolvers in "+machine.Zone+": list the IPv4 addresses of name servers"))
	}
	return errs
}
