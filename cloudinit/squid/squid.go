// Package squid renders the configuration of the egress proxy. It is pure:
// typed values in, the text of squid.conf out.
//
// Nothing that a tenant chooses reaches the file as it was written. Squid
// takes a newline for the next directive, a leading quote for a file's name
// and a trailing backslash for a continued line, and `squid -k parse` finds
// nothing wrong with any of them. So every value is either of a type that
// cannot hold such a character (an address, a prefix, a port) or validated
// here, and none stands where it could start a token.
package squid

import (
	"bytes"
	_ "embed"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// squidConf is the file with its explanations, for whoever reads it on the
// machine that runs it.
//
//go:embed squid.conf.tmpl
var squidConf string

// Render returns the squid.conf of a proxy that serves these tenants, whose
// order does not matter. The error tells everything that is wrong with the
// arguments, with the paths of the fields; there is no file then.
//
// The addresses in the file must exist on the machine when Squid starts:
// without its egress address it cannot ask for names, and stops.
func Render(proxy Proxy, tenants []v1alpha1.Tenant) ([]byte, error) {
	if err := validate(proxy, tenants).ToAggregate(); err != nil {
		return nil, fmt.Errorf("squid.conf cannot be rendered: %w", err)
	}
	parsed, err := template.New("squid.conf").Parse(squidConf)
	if err != nil {
		return nil, fmt.Errorf("parsing the template of squid.conf: %w", err)
	}
	var file bytes.Buffer
	if err := parsed.Execute(&file, newConfig(proxy, tenants)); err != nil {
		return nil, fmt.Errorf("rendering squid.conf: %w", err)
	}
	return file.Bytes(), nil
}

func validate(proxy Proxy, tenants []v1alpha1.Tenant) field.ErrorList {
	errs := proxy.validate(tenants, field.NewPath("proxy"))
	return append(errs, v1alpha1.ValidateTenants(tenants, field.NewPath("tenants"))...)
}

// config is what the template reads: the proxy, and what is derived.
type config struct {
	Proxy
	ManagerListen netip.AddrPort
	// Forbidden are the destinations that are closed to every tenant.
	Forbidden []netip.Prefix
	// ForbiddenPorts are closed to every tenant.
	ForbiddenPorts []uint16
	// Denials are the rules that deny, for notes in the audit log.
	Denials     []policy.Rule
	AuditFormat string
	// Pools is how many delay pools there are: one, and one for each tenant
	// whose bandwidth is bounded.
	Pools int
	// HeaderRevision is the header that tells a tenant's revision.
	HeaderRevision string
	group
	// Groups are the same tenants, in groups of groupSize.
	Groups []group
	// PortLists and EgressLists put tenants together that have the same ports,
	// or leave by the same address.
	PortLists   []portList
	EgressLists []egressList
}

// groupSize is about the root of the number of tenants that there can be, which
// makes the rules fewest that a request is held against.
const groupSize = 8

// group is some of the tenants; the Number of all together is 0.
type group struct {
	Number  int
	Tenants []tenant
}

// Peeked says whether tunnels of any of them are looked into.
func (g group) Peeked() bool { return slices.ContainsFunc(g.Tenants, tenant.Peeked) }

// Enforced says whether the list of any of them is.
func (g group) Enforced() bool { return slices.ContainsFunc(g.Tenants, tenant.Enforced) }

// Reported is Enforced, for Report.
func (g group) Reported() bool { return slices.ContainsFunc(g.Tenants, tenant.Reported) }

// Open is Enforced, for Open.
func (g group) Open() bool { return slices.ContainsFunc(g.Tenants, tenant.Open) }

// portList is a list of ports and the tenants that have it. Listeners and
// PortList are names of ACLs, which match their ports on the proxy and the list.
type portList struct {
	Listeners, PortList string
	Ports               []uint16
	Tenants             []string
}

// egressList is an address and the tenants that leave by it, whose ports on the
// proxy the ACL Listeners matches.
type egressList struct {
	Listeners string
	Address   netip.Addr
	Tenants   []string
}

// tenant is a tenant's part of the file.
type tenant struct {
	Name   string
	Listen netip.AddrPort
	// Listener and Tag are names of ACLs: the first matches what arrives on
	// the tenant's port, the second annotates it with the tenant's name and
	// revision. They are made of the port, because a name's 63 characters
	// leave no room for a prefix.
	Listener, Tag string
	// DomainList and SNIList are names of ACLs, too, which match what the
	// tenant lists: hosts in requests, and hosts in tunnels.
	DomainList, SNIList string
	policy.List
	// Egress is the address that the tenant's requests leave by.
	Egress netip.Addr
	// Pool and BytesPerSecond bound what is fetched for the tenant: the number
	// of its delay pool, from 2 on, and the bound. 0: there is none.
	Pool, BytesPerSecond int
	// Revision is the tenant's, which answers on its port tell.
	Revision string
}

// ModeACL is the name of the ACL that matches what arrives on the ports of all
// tenants of the same mode.
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

// Enforced, Reported and Open tell the tenant's mode.
func (t tenant) Enforced() bool { return t.Mode == policy.ModeEnforce }

// Reported is Enforced, for Report.
func (t tenant) Reported() bool { return t.Mode == policy.ModeReport }

// Open is Enforced, for Open.
func (t tenant) Open() bool { return t.Mode == policy.ModeOpen }

// Peeked says whether the tenant's tunnels are looked into.
func (t tenant) Peeked() bool { return !t.Open() }

// NotListed and SNINotListed match hosts that the tenant does not list. There
// is no ACL without values: with an empty list that is all.
func (t tenant) NotListed() string { return t.unless(t.DomainList) }

// SNINotListed is NotListed for hosts in tunnels.
func (t tenant) SNINotListed() string { return t.unless(t.SNIList) }

func (t tenant) unless(list string) string {
	if len(t.Domains) == 0 {
		return "all"
	}
	return "!" + list
}

func newConfig(proxy Proxy, tenants []v1alpha1.Tenant) config {
	result := config{
		Proxy:          proxy,
		ManagerListen:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), proxy.ManagerPort),
		Forbidden:      forbidden(proxy),
		ForbiddenPorts: policy.ForbiddenPorts(),
		Denials: []policy.Rule{
			policy.RuleManager, policy.RuleClient, policy.RuleProtocol, policy.RuleForbiddenDestination,
			policy.RuleForbiddenPort, policy.RulePort, policy.RuleDomain,
		},
		AuditFormat:    auditFormat(),
		HeaderRevision: names.HeaderRevision,
	}
	for _, t := range tenants {
		port := uint16(t.ProxyPort()) //nolint:gosec // validated: between TenantPortMin and TenantPortMax
		egress := proxy.EgressAddress
		if t.HasDedicatedIP() {
			egress = proxy.DedicatedAddresses[t.Name]
		}
		number := strconv.Itoa(int(port))
		rendered := tenant{
			Name:       t.Name,
			Listen:     netip.AddrPortFrom(proxy.ListenAddress, port),
			Listener:   "l_" + number,
			Tag:        tagPrefix + number,
			DomainList: "d_" + number,
			SNIList:    "s_" + number,
			List:       t.AllowList(),
			Egress:     egress,
			Revision:   t.Revision(),

			BytesPerSecond: int(t.BandwidthKiB()) * 1024,
		}
		result.Tenants = append(result.Tenants, rendered)
	}
	slices.SortFunc(result.Tenants, func(a, b tenant) int { return strings.Compare(a.Name, b.Name) })
	for some := range slices.Chunk(result.Tenants, groupSize) {
		result.Groups = append(result.Groups, group{Number: len(result.Groups) + 1, Tenants: some})
	}
	result.PortLists, result.EgressLists = portLists(result.Tenants), egressLists(result.Tenants)
	result.Pools = 1
	for i := range result.Tenants {
		if t := &result.Tenants[i]; t.BytesPerSecond > 0 {
			result.Pools++
			t.Pool = result.Pools
		}
	}
	return result
}

// forbidden returns what no tenant may reach, wherever it runs, and after it
// those of the proxy's own addresses that are not covered by it.
func forbidden(proxy Proxy) []netip.Prefix {
	own := append(slices.Collect(maps.Values(proxy.DedicatedAddresses)), proxy.EgressAddress)
	slices.SortFunc(own, netip.Addr.Compare)
	result := policy.ForbiddenDestinations()
	for _, address := range slices.Compact(own) {
		if prefix := netip.PrefixFrom(address, address.BitLen()); !policy.IsForbidden(prefix) {
			result = append(result, prefix)
		}
	}
	return result
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

// egressLists is portLists, for addresses.
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
