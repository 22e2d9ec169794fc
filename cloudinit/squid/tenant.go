package squid

import (
	"net/netip"
	"slices"
	"strconv"

	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/proxystatus"
	"egress.scw/webhook/api/v1alpha1"
)

// tenant contains the values of one tenant.
type tenant struct {
	Name   string
	Port   uint16
	Listen netip.AddrPort
	// SidecarListen is the address for requests of sidecars; of use with sidecars only.
	SidecarListen netip.AddrPort
	// Listener and Tag are names of ACLs: Listener matches requests on the
	// tenant's port, Tag annotates them with the tenant's name and revision. The
	// names are derived from the port, because a tenant's name can have 63
	// characters, the maximum of an ACL's name, and leaves no room for a prefix.
	Listener, Tag string
	// DomainList and SNIList are names of ACLs that match the tenant's domains:
	// DomainList in requests, SNIList in TLS within tunnels.
	DomainList, SNIList string
	policy.List
	// Egress is the source address of the tenant's requests.
	Egress netip.Addr
	// BytesPerSecond bounds the bandwidth of responses to the tenant. 0: it is
	// not bounded.
	BytesPerSecond int
	// Pool is the number of the tenant's delay pool, 2 or higher. 0: the tenant
	// has no bound.
	Pool     int
	Revision string
	// Served is the tenant in the page on StatusPort.
	Served proxystatus.Tenant
}

func tenantValues(config Config, t v1alpha1.Tenant) tenant {
	port := uint16(t.ProxyPort()) //nolint:gosec // validated: between TenantPortMin and TenantPortMax
	egress := config.EgressAddress
	if t.HasDedicatedIP() {
		egress = config.DedicatedAddresses[t.Name]
	}
	number := strconv.Itoa(int(port))
	return tenant{
		Name:           t.Name,
		Port:           port,
		Listen:         netip.AddrPortFrom(config.ListenAddress, port),
		SidecarListen:  netip.AddrPortFrom(config.SidecarAddress, port),
		Listener:       "l_" + number,
		Tag:            "tag_" + number,
		DomainList:     "d_" + number,
		SNIList:        "s_" + number,
		List:           t.AllowList(),
		Egress:         egress,
		BytesPerSecond: int(t.BandwidthKiB()) * 1024,
		Revision:       t.Revision(),
		Served:         proxystatus.Tenant{Port: port, Revision: t.Revision(), Name: t.Name},
	}
}

// ModeACL is the name of the ACL that matches requests on the ports of all
// tenants with the same mode.
func (t tenant) ModeACL() string {
	switch {
	case t.Enforced():
		return "enforced"
	case t.Reported():
		return "reported"
	default:
		return "open"
	}
}

// Enforced returns whether the tenant's mode is Enforce.
func (t tenant) Enforced() bool { return t.Mode == policy.ModeEnforce }

// Reported returns whether the tenant's mode is Report.
func (t tenant) Reported() bool { return t.Mode == policy.ModeReport }

// Open returns whether the tenant's mode is Open.
func (t tenant) Open() bool { return t.Mode == policy.ModeOpen }

// Peeked returns whether the tenant's tunnels are inspected.
func (t tenant) Peeked() bool { return !t.Open() }

// NotListed is the ACL of hosts in requests that are not in the tenant's list. An
// ACL must have a value: with an empty list it is "all".
func (t tenant) NotListed() string { return t.unless(t.DomainList) }

// SNINotListed is NotListed for hosts in tunnels.
func (t tenant) SNINotListed() string { return t.unless(t.SNIList) }

func (t tenant) unless(list string) string {
	if len(t.Domains) == 0 {
		return "all"
	}
	return "!" + list
}

// groupSize is the number of tenants whose rules are evaluated together. It is
// about the square root of the maximum number of tenants, for which a request is
// compared with the fewest rules.
const groupSize = 8

// group is a number of tenants. The Number of the group of all tenants is 0.
type group struct {
	Number  int
	Tenants []tenant
}

// Peeked returns whether tunnels of a tenant in the group are inspected.
func (g group) Peeked() bool { return slices.ContainsFunc(g.Tenants, tenant.Peeked) }

// Enforced returns whether the mode of a tenant in the group is Enforce.
func (g group) Enforced() bool { return slices.ContainsFunc(g.Tenants, tenant.Enforced) }

// Reported returns whether the mode of a tenant in the group is Report.
func (g group) Reported() bool { return slices.ContainsFunc(g.Tenants, tenant.Reported) }

// Open returns whether the mode of a tenant in the group is Open.
func (g group) Open() bool { return slices.ContainsFunc(g.Tenants, tenant.Open) }
