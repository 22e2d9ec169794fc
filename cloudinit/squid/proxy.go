package squid

import (
	"maps"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// Proxy is what differs between one machine that runs Squid and another.
// Every field is required; DedicatedAddresses if a tenant is Dedicated, and
// Certificate if one has an allow list.
type Proxy struct {
	// ListenAddress is the proxy's address in the network that it shares with
	// the cluster: private, so that nobody outside can reach the ports.
	ListenAddress netip.Addr

	// ManagerPort is the port on 127.0.0.1 where Squid tells programs of its
	// own machine its statistics. It lies outside the tenants' range; Squid's
	// usual port is 3128.
	ManagerPort uint16

	// ClientNetworks are the networks that requests may come from: those of
	// the nodes, and of pods where these keep their addresses. They are
	// private, do not overlap, and have no host bits.
	ClientNetworks []netip.Prefix

	// EgressAddress is the address that requests of all tenants without one of
	// their own, and Squid's own DNS queries, leave by. The machine must have
	// it when Squid starts.
	EgressAddress netip.Addr

	// DedicatedAddresses are the addresses that requests of the tenants that
	// are Dedicated leave by, by the tenant's name: one for each of these
	// tenants and for no other, all different, and none the EgressAddress.
	// A tenant whose address the machine lacks gets nowhere.
	DedicatedAddresses map[string]netip.Addr

	// NameServers resolve the names in requests. They are of the same address
	// family as EgressAddress, from which they are asked.
	NameServers []netip.Addr

	// Certificate is the file of a certificate and its key (PEM), which Squid
	// demands of ports where it looks at the names in tunnels. It signs
	// nothing, and clients never see it: any will do.
	Certificate string

	// ErrorPages is the folder of the pages that Squid answers with by itself,
	// under the names of its own. That of a denial, ERR_ACCESS_DENIED, and for
	// tunnels ERR_FORWARDING_DENIED, may tell the notes "tenant" and "rule".
	ErrorPages string

	// AuditLog is the file of the audit log: absolute, in a folder where the
	// user that Squid runs as (proxy on Debian) may write.
	AuditLog string

	// CacheLog is the file of Squid's own messages, under the same conditions.
	CacheLog string

	// PIDFile is the file with the number of Squid's process. Two Squids on a
	// machine need two, and a name each (`squid -n`).
	PIDFile string
}

func (p Proxy) validate(tenants []v1alpha1.Tenant, at *field.Path) field.ErrorList {
	errs := validateListenAddress(p.ListenAddress, at.Child("listenAddress"))
	errs = append(errs, validateManagerPort(p.ManagerPort, at.Child("managerPort"))...)
	errs = append(errs, validateClientNetworks(p.ClientNetworks, at.Child("clientNetworks"))...)
	errs = append(errs, validateAddress(p.EgressAddress, at.Child("egressAddress"))...)
	errs = append(errs, p.validateDedicatedAddresses(tenants, at.Child("dedicatedAddresses"))...)
	errs = append(errs, validateNameServers(p.NameServers, p.EgressAddress, at.Child("nameServers"))...)
	if p.Certificate != "" || slices.ContainsFunc(tenants, isPeeked) {
		errs = append(errs, validatePath(p.Certificate, at.Child("certificate"))...)
	}
	errs = append(errs, validatePath(p.ErrorPages, at.Child("errorPages"))...)
	errs = append(errs, validatePath(p.AuditLog, at.Child("auditLog"))...)
	errs = append(errs, validatePath(p.CacheLog, at.Child("cacheLog"))...)
	errs = append(errs, validatePath(p.PIDFile, at.Child("pidFile"))...)
	if p.AuditLog != "" && p.AuditLog == p.CacheLog {
		errs = append(errs, field.Duplicate(at.Child("cacheLog"), p.CacheLog))
	}
	return errs
}

// isPeeked says whether a tenant's tunnels are looked into.
func isPeeked(t v1alpha1.Tenant) bool { return t.AllowList().Mode != policy.ModeOpen }

// validateAddress demands an address that one machine can have, in the one
// form that Squid reads everywhere.
func validateAddress(address netip.Addr, at *field.Path) field.ErrorList {
	problem := ""
	switch {
	case !address.IsValid():
		return field.ErrorList{field.Required(at, "must be an IP address")}
	case address.IsUnspecified(), address.IsMulticast():
		problem = "must be the address of one machine"
	case address.Zone() != "":
		problem = "must have no zone"
	case address.Is4In6():
		problem = "must be written as the IPv4 address that it is"
	default:
		return nil
	}
	return field.ErrorList{field.Invalid(at, address.String(), problem)}
}

func validateListenAddress(address netip.Addr, at *field.Path) field.ErrorList {
	if errs := validateAddress(address, at); len(errs) > 0 {
		return errs
	}
	if !policy.IsForbidden(netip.PrefixFrom(address, address.BitLen())) {
		return field.ErrorList{field.Invalid(at, address.String(), "must be private: on a public address the proxy would be open to the internet")}
	}
	return nil
}

func validateManagerPort(port uint16, at *field.Path) field.ErrorList {
	if port == 0 || (port >= names.TenantPortMin && port <= names.TenantPortMax) {
		return field.ErrorList{field.Invalid(at, port,
			"must be a port outside "+strconv.Itoa(names.TenantPortMin)+"-"+strconv.Itoa(names.TenantPortMax)+", the range of the tenants' ports")}
	}
	return nil
}

func validateClientNetworks(networks []netip.Prefix, at *field.Path) field.ErrorList {
	if len(networks) == 0 {
		return field.ErrorList{field.Required(at, "must name the networks that requests come from")}
	}
	var errs field.ErrorList
	for i, network := range networks {
		if problem := clientNetworkProblem(network, networks[:i]); problem != "" {
			errs = append(errs, field.Invalid(at.Index(i), network.String(), problem))
		}
	}
	return errs
}

// clientNetworkProblem says what is wrong with a network beside those before
// it, or nothing.
func clientNetworkProblem(network netip.Prefix, before []netip.Prefix) string {
	switch {
	case !network.IsValid():
		return "must be a CIDR"
	case network.Addr().Is4In6():
		return "must be written as the IPv4 network that it is"
	case network != network.Masked():
		return "must have no host bits: write " + network.Masked().String()
	case !policy.IsForbidden(network):
		return "must be private: one that tenants may also ask for would open a way from tenant to tenant through the proxy"
	}
	for _, other := range before {
		if network.Overlaps(other) {
			return "overlaps with " + other.String()
		}
	}
	return ""
}

func (p Proxy) validateDedicatedAddresses(tenants []v1alpha1.Tenant, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	dedicated := make(map[string]bool, len(p.DedicatedAddresses))
	for _, tenant := range tenants {
		if !tenant.HasDedicatedIP() {
			continue
		}
		dedicated[tenant.Name] = true
		if _, ok := p.DedicatedAddresses[tenant.Name]; !ok {
			errs = append(errs, field.Required(at.Key(tenant.Name), "must be the address of this tenant, who is Dedicated"))
		}
	}
	taken := map[netip.Addr]bool{p.EgressAddress: true}
	for _, name := range slices.Sorted(maps.Keys(p.DedicatedAddresses)) {
		address := p.DedicatedAddresses[name]
		problems := validateAddress(address, at.Key(name))
		switch {
		case !dedicated[name]:
			problems = append(problems, field.Forbidden(at.Key(name), "no tenant of this name is Dedicated"))
		case len(problems) == 0 && taken[address]:
			problems = append(problems, field.Duplicate(at.Key(name), address.String()))
		}
		taken[address] = true
		errs = append(errs, problems...)
	}
	return errs
}

func validateNameServers(servers []netip.Addr, egress netip.Addr, at *field.Path) field.ErrorList {
	if len(servers) == 0 {
		return field.ErrorList{field.Required(at, "must name a server: Squid would take those that DHCP brought last")}
	}
	var errs field.ErrorList
	for i, server := range servers {
		problems := validateAddress(server, at.Index(i))
		if len(problems) == 0 && egress.IsValid() && server.Is4() != egress.Is4() {
			problems = field.ErrorList{field.Invalid(at.Index(i), server.String(),
				"must be of the same address family as the egress address, from which it is asked")}
		}
		errs = append(errs, problems...)
	}
	return errs
}

// validatePath demands an absolute path of characters that mean nothing to
// Squid: no white space, quotes, backslashes, percent or number signs.
func validatePath(file string, at *field.Path) field.ErrorList {
	switch {
	case file == "":
		return field.ErrorList{field.Required(at, "must be the absolute path of a file")}
	case !path.IsAbs(file), path.Clean(file) != file, file == "/":
		return field.ErrorList{field.Invalid(at, file, "must be the absolute path of a file, in its shortest form")}
	case strings.ContainsFunc(file, func(r rune) bool { return !strings.ContainsRune(pathCharacters, r) }):
		return field.ErrorList{field.Invalid(at, file, "must consist of letters, digits and the characters / . _ -")}
	}
	return nil
}

const pathCharacters = "/._-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
