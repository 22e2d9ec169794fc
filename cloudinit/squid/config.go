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

// Config is the configuration of one Squid. Every field is required, but for
// DedicatedAddresses without a Dedicated tenant, Certificate without a tenant that
// has an allow list, and the fields of sidecars.
type Config struct {
	// ListenAddress is the proxy's address in the network that it shares with
	// the cluster. It is private, so that the ports cannot be reached from
	// outside.
	ListenAddress netip.Addr

	// StatusPort is the port, on all addresses, on which Squid states the tenants that
	// it serves (package proxystatus) to clients, and on 127.0.0.1 its own statistics to
	// programs of its machine. It is outside the range of the tenants' ports; Squid's
	// usual port is 3128.
	StatusPort uint16

	// ClientNetworks are the networks that requests may come from: the networks
	// of the nodes, and of the pods where pods keep their addresses. They are
	// private, do not overlap, and have no host bits.
	ClientNetworks []netip.Prefix

	// EgressAddress is the source address of Squid's own DNS queries and of the
	// requests of all tenants that are not Dedicated. The machine must have it
	// when Squid starts.
	EgressAddress netip.Addr

	// DedicatedAddresses are the source addresses of requests of Dedicated
	// tenants, by the tenant's name: one for each of these tenants and for no
	// other, all different, and different from EgressAddress. Without its address
	// on the machine, a tenant's requests fail.
	DedicatedAddresses map[string]netip.Addr

	// NameServers resolve the names in requests. They have the address family of
	// EgressAddress, from which they are queried.
	NameServers []netip.Addr

	// Certificate is the file of a certificate and its key (PEM), which Squid
	// requires for ports on which it inspects the names in tunnels. It signs
	// nothing and clients never receive it, so any certificate will do.
	Certificate string

	// ErrorPages is the folder of the pages that Squid itself responds with,
	// under Squid's names for them. The pages of a denial, ERR_ACCESS_DENIED and,
	// for tunnels, ERR_FORWARDING_DENIED, can use the notes "tenant" and "rule". The page
	// on StatusPort, ERR_EGRESS_STATUS, has the note "served".
	ErrorPages string

	// AuditLog is the file of the audit log. Its path is absolute, in a folder
	// to which Squid's user (proxy on Debian) can write.
	AuditLog string

	// AuditWriter is the program that writes the audit log. It takes the file as its
	// argument, and lines in the protocol of Squid's log daemons.
	AuditWriter string

	// SidecarAddress is the address of loopback on which tenants' ports receive the
	// requests of sidecars. HAProxy on the same machine sends them by the PROXY protocol,
	// after it has verified the certificate of the tenant, and states this address as their
	// destination. Invalid: Squid serves no sidecars.
	SidecarAddress netip.Addr

	// SidecarsOnly is whether the ports on ListenAddress are left out.
	SidecarsOnly bool

	// Authorities are the certificates (DER) of the authorities that sign the tenants'
	// certificates. The machine reads them from a comment.
	Authorities [][]byte

	// CacheLog is the file of Squid's own messages, with the requirements of
	// AuditLog.
	CacheLog string

	// PIDFile is the file that contains Squid's process ID. Each Squid on a
	// machine needs its own, and its own name (`squid -n`).
	PIDFile string
}

func (c Config) validate(tenants []v1alpha1.Tenant, at *field.Path) field.ErrorList {
	errs := validateListenAddress(c.ListenAddress, at.Child("listenAddress"))
	errs = append(errs, validateStatusPort(c.StatusPort, at.Child("statusPort"))...)
	errs = append(errs, validateClientNetworks(c.ClientNetworks, at.Child("clientNetworks"))...)
	errs = append(errs, validateAddress(c.EgressAddress, at.Child("egressAddress"))...)
	errs = append(errs, c.validateDedicatedAddresses(tenants, at.Child("dedicatedAddresses"))...)
	errs = append(errs, validateNameServers(c.NameServers, c.EgressAddress, at.Child("nameServers"))...)
	if c.Certificate != "" || slices.ContainsFunc(tenants, isPeeked) {
		errs = append(errs, validatePath(c.Certificate, at.Child("certificate"))...)
	}
	errs = append(errs, validatePath(c.ErrorPages, at.Child("errorPages"))...)
	errs = append(errs, validatePath(c.AuditLog, at.Child("auditLog"))...)
	errs = append(errs, validatePath(c.AuditWriter, at.Child("auditWriter"))...)
	errs = append(errs, validatePath(c.CacheLog, at.Child("cacheLog"))...)
	errs = append(errs, validatePath(c.PIDFile, at.Child("pidFile"))...)
	errs = append(errs, c.validateSidecars(tenants, at)...)
	if c.AuditLog != "" && c.AuditLog == c.CacheLog {
		errs = append(errs, field.Duplicate(at.Child("cacheLog"), c.CacheLog))
	}
	return errs
}

// isPeeked returns whether a tenant's tunnels are inspected.
func isPeeked(t v1alpha1.Tenant) bool { return t.AllowList().Mode != policy.ModeOpen }

// validateAddress accepts an address that one machine can have, in the only form
// that Squid reads everywhere.
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
		problem = "must be written as an IPv4 address"
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

func validateStatusPort(port uint16, at *field.Path) field.ErrorList {
	if port == 0 || (port >= names.TenantPortMin && port <= names.TenantPortMax) {
		return field.ErrorList{field.Invalid(at, port,
			"must be a port outside "+strconv.Itoa(names.TenantPortMin)+"-"+strconv.Itoa(names.TenantPortMax)+", the range of the tenants' ports")}
	}
	return nil
}

func validateClientNetworks(networks []netip.Prefix, at *field.Path) field.ErrorList {
	if len(networks) == 0 {
		return field.ErrorList{field.Required(at, "must contain the networks that requests come from")}
	}
	var errs field.ErrorList
	for i, network := range networks {
		if problem := clientNetworkProblem(network, networks[:i]); problem != "" {
			errs = append(errs, field.Invalid(at.Index(i), network.String(), problem))
		}
	}
	return errs
}

// clientNetworkProblem describes the fault of a network that follows others, or
// returns an empty string.
func clientNetworkProblem(network netip.Prefix, before []netip.Prefix) string {
	switch {
	case !network.IsValid():
		return "must be a CIDR"
	case network.Addr().Is4In6():
		return "must be written as an IPv4 network"
	case network != network.Masked():
		return "must have no host bits: write " + network.Masked().String()
	case !policy.IsForbidden(network):
		return "must be private: if tenants could also request addresses of it, one tenant could reach another through the proxy"
	}
	for _, other := range before {
		if network.Overlaps(other) {
			return "overlaps with " + other.String()
		}
	}
	return ""
}

func (c Config) validateDedicatedAddresses(tenants []v1alpha1.Tenant, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	dedicated := make(map[string]bool, len(c.DedicatedAddresses))
	for _, tenant := range tenants {
		if !tenant.HasDedicatedIP() {
			continue
		}
		dedicated[tenant.Name] = true
		if _, ok := c.DedicatedAddresses[tenant.Name]; !ok {
			errs = append(errs, field.Required(at.Key(tenant.Name), "must be the address of this tenant, which is Dedicated"))
		}
	}
	taken := map[netip.Addr]bool{c.EgressAddress: true}
	for _, name := range slices.Sorted(maps.Keys(c.DedicatedAddresses)) {
		address := c.DedicatedAddresses[name]
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
		return field.ErrorList{field.Required(at, "must contain a server: otherwise Squid would use the servers of the latest DHCP lease")}
	}
	var errs field.ErrorList
	for i, server := range servers {
		problems := validateAddress(server, at.Index(i))
		if len(problems) == 0 && egress.IsValid() && server.Is4() != egress.Is4() {
			problems = field.ErrorList{field.Invalid(at.Index(i), server.String(),
				"must have the address family of the egress address, from which it is queried")}
		}
		errs = append(errs, problems...)
	}
	return errs
}

// validatePath accepts an absolute path without characters that have a meaning in
// squid.conf: white space, quotes, backslashes, percent and number signs.
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
