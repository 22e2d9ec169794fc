package squid

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// values are the values of the template: the configuration, and values derived
// from it and from the tenants.
type values struct {
	Config
	// StatusListen is the unspecified address with StatusPort.
	StatusListen netip.AddrPort
	// StatusPath is the path that is answered with status 200 there.
	StatusPath string
	// Forbidden are the destinations that are closed to every tenant.
	Forbidden []netip.Prefix
	// ForbiddenPorts are closed to every tenant.
	ForbiddenPorts []uint16
	// Denials are the rules that deny, for notes in the audit log.
	Denials     []policy.Rule
	AuditFormat string
	// Pools is the number of delay pools: one, and one more for each tenant with
	// bounded bandwidth.
	Pools int
	// HeaderRevision is the response header that contains the tenant's revision.
	HeaderRevision string
	// HeaderTenant is the response header that contains the tenant's name, in
	// answers to probes.
	HeaderTenant string
	// ProbePattern is a regular expression that matches the URL of probes only.
	ProbePattern string
	// ServesPrefix begins the comment lines that Revisions reads.
	ServesPrefix string
	// ServesSidecarsPrefix begins these lines of tenants that only sidecars reach.
	ServesSidecarsPrefix string
	// AuthorityPrefix begins the comment lines of Authorities.
	AuthorityPrefix string
	// SidecarHeader are the headers of requests of sidecars.
	SidecarHeader sidecarHeaders
	group
	// Groups are the same tenants, in groups of groupSize.
	Groups []group
	// PortLists and EgressLists group the tenants with the same ports, and those
	// with the same egress address.
	PortLists   []portList
	EgressLists []egressList
}

func newValues(config Config, tenants []v1alpha1.Tenant) values {
	result := values{
		Config:         config,
		StatusListen:   netip.AddrPortFrom(unspecified(config.ListenAddress), config.StatusPort),
		StatusPath:     names.StatusPath,
		Forbidden:      forbidden(config),
		ForbiddenPorts: policy.ForbiddenPorts(),
		Denials: []policy.Rule{
			policy.RuleManager, policy.RuleClient, policy.RuleProtocol, policy.RuleForbiddenDestination,
			policy.RuleForbiddenPort, policy.RulePort, policy.RuleDomain,
		},
		AuditFormat:          auditFormat(config.Sidecars()),
		HeaderRevision:       names.HeaderRevision,
		HeaderTenant:         names.HeaderTenant,
		ProbePattern:         "^" + strings.ReplaceAll(names.ProbeURL, ".", "[.]") + "$",
		ServesSidecarsPrefix: servesSidecarsPrefix,
		ServesPrefix:         servesPrefix,
		AuthorityPrefix:      authorityPrefix,
		SidecarHeader:        newSidecarHeaders(),
		Pools:                1,
	}
	for _, t := range tenants {
		if t.IsProxied() {
			result.Tenants = append(result.Tenants, tenantValues(config, t))
		}
	}
	slices.SortFunc(result.Tenants, func(a, b tenant) int { return strings.Compare(a.Name, b.Name) })
	for some := range slices.Chunk(result.Tenants, groupSize) {
		result.Groups = append(result.Groups, group{Number: len(result.Groups) + 1, Tenants: some})
	}
	result.PortLists, result.EgressLists = portLists(result.Tenants), egressLists(result.Tenants)
	for i := range result.Tenants {
		if t := &result.Tenants[i]; t.BytesPerSecond > 0 {
			result.Pools++
			t.Pool = result.Pools
		}
	}
	return result
}

// unspecified returns the unspecified address that includes 127.0.0.1 and the address.
func unspecified(address netip.Addr) netip.Addr {
	if address.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// forbidden returns the destinations that no tenant may reach on any proxy,
// followed by this proxy's own addresses that they do not include.
func forbidden(config Config) []netip.Prefix {
	own := append(slices.Collect(maps.Values(config.DedicatedAddresses)), config.EgressAddress)
	slices.SortFunc(own, netip.Addr.Compare)
	result := policy.ForbiddenDestinations()
	for _, address := range slices.Compact(own) {
		if prefix := netip.PrefixFrom(address, address.BitLen()); !policy.IsForbidden(prefix) {
			result = append(result, prefix)
		}
	}
	return result
}

// portList is a list of ports and the tenants that have it. Listeners is the name
// of the ACL that matches these tenants' ports on the proxy, PortList that of the
// ACL that matches the list.
type portList struct {
	Listeners, PortList string
	Ports               []uint16
	Tenants             []string
}

// portLists numbers the lists in the order of the first tenant that has one.
func portLists(tenants []tenant) []portList {
	var lists []portList
	for _, t := range tenants {
		i := slices.IndexFunc(lists, func(l portList) bool { return slices.Equal(l.Ports, t.Ports) })
		if i < 0 {
			i = len(lists)
			number := strconv.Itoa(i + 1)
			lists = append(lists, portList{Listeners: "o_" + number, PortList: "p_" + number, Ports: t.Ports})
		}
		lists[i].Tenants = append(lists[i].Tenants, t.Name)
	}
	return lists
}

// egressList is an egress address and the tenants that have it. Listeners is the
// name of the ACL that matches these tenants' ports on the proxy.
type egressList struct {
	Listeners string
	Address   netip.Addr
	Tenants   []string
}

// egressLists numbers the lists in the order of the first tenant that has one.
func egressLists(tenants []tenant) []egressList {
	var lists []egressList
	for _, t := range tenants {
		i := slices.IndexFunc(lists, func(l egressList) bool { return l.Address == t.Egress })
		if i < 0 {
			i = len(lists)
			lists = append(lists, egressList{Listeners: "e_" + strconv.Itoa(i+1), Address: t.Egress})
		}
		lists[i].Tenants = append(lists[i].Tenants, t.Name)
	}
	return lists
}
