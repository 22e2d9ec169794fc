// Package network creates networks in network namespaces of this machine, for
// the local environment and for tests: a node, a Public Gateway and a proxy on
// one Private Network, and an internet behind them. Nothing is connected to the
// machine's own network, except that in the local environment one veth pair
// connects the machine to the node.
//
//	     machine 10.222.0.1 ─── 10.222.0.2 egress-node 172.16.28.16 ─┐
//	                                                                 │ Private Network
//	egress-internet 198.51.100.254 ─── .9 egress-gateway 172.16.28.1 ┤ 172.16.28.0/22
//	              203.0.113.254 ───     egress-proxy 172.16.28.8 ────┘
//
// The node's default route is the gateway, which masquerades: packets that no
// policy stops reach the internet from the gateway's address. The proxy's
// namespace is empty: its machine brings its own NICs, of which one is
// connected to the bridge Edge, the other to PrivateBridge. A plan may have
// further proxies, each with a namespace of its own.
package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
)

// Prefixes of the names of network namespaces: those of the local environment,
// and those of tests. RemoveTests finds the latter by their prefix.
const (
	prefix     = "egress-"
	TestPrefix = "egress-test-"
)

// Network namespaces of a plan, without its prefix.
const (
	Node     = "node"
	Proxy    = "proxy"
	Gateway  = "gateway"
	Internet = "internet"
)

// Bridges: the internet's, for machines with public addresses of their own, and
// the Private Network, in the gateway's namespace.
const (
	Edge          = "edge0"
	PrivateBridge = "pn0"
)

// Plan assigns the addresses.
type Plan struct {
	// Prefix is the prefix of the names of its network namespaces.
	Prefix string
	// HostAddress and NodeAddress are the two ends of the link between the
	// machine and the node. Invalid: there is no link.
	HostAddress, NodeAddress netip.Addr
	// PrivateNetwork is the Private Network's range.
	PrivateNetwork netip.Prefix
	// NodePrivate, ProxyPrivate and GatewayPrivate are addresses in it.
	NodePrivate, ProxyPrivate, GatewayPrivate netip.Addr
	// GatewayPublic is the source address of nodes in the internet.
	GatewayPublic netip.Addr
	// ProxyPublic contains the proxy's public addresses: the prefix's own
	// address, and those behind it.
	ProxyPublic netip.Prefix
	// MoreProxies is the number of proxies beside the first one.
	MoreProxies int
	// Resolver is the name server of the cluster and the proxy.
	// OpenResolver is another one, which no component is configured to use.
	// Invalid: there is none.
	Resolver, OpenResolver netip.Addr
	// Metadata is the address of Scaleway's metadata service, from which
	// instances read their secrets. Its server is in the internet's
	// namespace as well.
	Metadata netip.Addr
	// Packages is the address of the package repository for the proxy's
	// machine.
	Packages netip.Addr
	// Echoes are the addresses of the internet's services.
	Echoes []netip.Addr
}

// DefaultPlan is the local environment's plan. Its public networks are those
// reserved for documentation (RFC 5737): they look public, and have no owner
// who could be harmed.
func DefaultPlan() Plan {
	return Plan{
		Prefix:         prefix,
		HostAddress:    netip.MustParseAddr("10.222.0.1"),
		NodeAddress:    netip.MustParseAddr("10.222.0.2"),
		PrivateNetwork: netip.MustParsePrefix("172.16.28.0/22"),
		NodePrivate:    netip.MustParseAddr("172.16.28.16"),
		ProxyPrivate:   netip.MustParseAddr("172.16.28.8"),
		GatewayPrivate: netip.MustParseAddr("172.16.28.1"),
		GatewayPublic:  netip.MustParseAddr("198.51.100.9"),
		ProxyPublic:    netip.MustParsePrefix("203.0.113.50/24"),
		MoreProxies:    1,
		Resolver:       netip.MustParseAddr("192.0.2.53"),
		OpenResolver:   netip.MustParseAddr("192.0.2.54"),
		Metadata:       netip.MustParseAddr("169.254.42.42"),
		Packages:       netip.MustParseAddr("192.0.2.80"),
		Echoes:         []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("192.0.2.11")},
	}
}

// EdgeRouter is the router of the proxy's public addresses.
func (p Plan) EdgeRouter() netip.Addr { return lastOf(p.ProxyPublic.Addr()) }

// Netns is the name of one of the plan's network namespaces.
func (p Plan) Netns(namespace string) string { return p.Prefix + namespace }

// FurtherProxy is the network namespace of a proxy beside the first one, without the
// plan's prefix. The second proxy has the number 2.
func FurtherProxy(number int) string { return fmt.Sprintf("%s-%d", Proxy, number) }

// namespaces are the names of all network namespaces of the plan, without its prefix.
func (p Plan) namespaces() []string {
	names := []string{Node, Proxy, Gateway, Internet}
	for i := range p.MoreProxies {
		names = append(names, FurtherProxy(i+2))
	}
	return names
}

// isOfPlan reports whether the plan has a network namespace of that name.
func (p Plan) isOfPlan(name string) bool {
	return slices.ContainsFunc(p.namespaces(), func(namespace string) bool { return name == p.Netns(namespace) })
}

// hostLink is the machine's end of the veth pair to the node.
func (p Plan) hostLink() string { return p.Prefix + "host" }

func (p Plan) hostLinkExists(ctx context.Context) bool {
	return exec.CommandContext(ctx, "ip", "link", "show", p.hostLink()).Run() == nil
}

// Existing returns the plan's namespaces and links that exist.
func Existing(ctx context.Context, p Plan) ([]string, error) {
	names, err := listNamespaces(ctx)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, name := range names {
		if p.isOfPlan(name) {
			found = append(found, "network namespace "+name)
		}
	}
	if p.hostLinkExists(ctx) {
		found = append(found, "link "+p.hostLink())
	}
	return found, nil
}

// listNamespaces returns the names of all network namespaces of this machine.
func listNamespaces(ctx context.Context) ([]string, error) {
	cmd := exec.CommandContext(ctx, "ip", "netns", "list")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ip netns list: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ") // an ID may follow
		names = append(names, name)
	}
	return names, nil
}

// removeNamespaces removes the network namespaces whose names are chosen.
func removeNamespaces(ctx context.Context, chosen func(name string) bool) error {
	names, err := listNamespaces(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if chosen(name) {
			errs = append(errs, run(ctx, "", "ip", "netns", "delete", name))
		}
	}
	return errors.Join(errs...)
}

// RemoveTests removes every network namespace that a test has made, with its
// links, including those of running tests.
func RemoveTests(ctx context.Context) error {
	return removeNamespaces(ctx, func(name string) bool { return strings.HasPrefix(name, TestPrefix) })
}

// metadataRouter is the router by which cloud-init since 24.1 sends requests to
// Scaleway's metadata service, whatever router the lease has.
const metadataRouter = "62.210.0.1"

// Up makes everything. After an error, Down removes the parts that were made.
func Up(ctx context.Context, p Plan) error {
	for _, command := range p.commands() {
		if err := run(ctx, "", strings.Fields(command)...); err != nil {
			return err
		}
	}
	return run(ctx, fmt.Sprintf(masquerade, p.PrivateNetwork), "ip", "netns", "exec", p.Netns(Gateway), "nft", "-f", "-")
}

// Down removes all existing parts.
func Down(ctx context.Context, p Plan) error {
	err := removeNamespaces(ctx, p.isOfPlan)
	// The link disappears with the namespace of its other end, a moment
	// later. If it was never moved into that namespace, it still exists.
	if p.hostLinkExists(ctx) {
		if linkErr := run(ctx, "", "ip", "link", "delete", p.hostLink()); linkErr != nil && p.hostLinkExists(ctx) {
			err = errors.Join(err, linkErr)
		}
	}
	return err
}

// AddRuleset loads an nftables ruleset in a namespace.
func AddRuleset(ctx context.Context, namespace, ruleset string) error {
	return run(ctx, ruleset, "ip", "netns", "exec", namespace, "nft", "-f", "-")
}

const masquerade = `
table ip gateway {
	chain postrouting {
		type nat hook postrouting priority srcnat;
		ip saddr %s oifname "pub0" masquerade
	}
}
`

// commands make the topology of the package's picture, in order.
func (p Plan) commands() []string {
	private := func(a netip.Addr) string { return netip.PrefixFrom(a, p.PrivateNetwork.Bits()).String() }
	var c []string
	add := func(format string, args ...any) { c = append(c, fmt.Sprintf(format, args...)) }
	in := func(namespace, format string, args ...any) {
		add("ip -n %s %s", p.Netns(namespace), fmt.Sprintf(format, args...))
	}
	for _, namespace := range p.namespaces() {
		add("ip netns add %s", p.Netns(namespace))
		in(namespace, "link set lo up")
	}

	// A bridge without an address of its own takes a port's, and another
	// one's when a machine is plugged in or out: neighbours would lose
	// their router.
	in(Gateway, "link add %s address 02:00:00:1c:00:01 type bridge", PrivateBridge)
	in(Gateway, "address add %s dev %s", private(p.GatewayPrivate), PrivateBridge)
	in(Gateway, "link set %s up", PrivateBridge)
	add("ip link add pn-node netns %s type veth peer name priv0 netns %s", p.Netns(Gateway), p.Netns(Node))
	in(Gateway, "link set pn-node master %s up", PrivateBridge)
	in(Node, "address add %s dev priv0", private(p.NodePrivate))
	in(Node, "link set priv0 up")
	in(Node, "route add default via %s", p.GatewayPrivate)

	add("ip link add pub0 netns %s type veth peer name gateway0 netns %s", p.Netns(Gateway), p.Netns(Internet))
	in(Gateway, "address add %s/24 dev pub0", p.GatewayPublic)
	in(Gateway, "link set pub0 up")
	in(Internet, "address add %s/24 dev gateway0", lastOf(p.GatewayPublic))
	in(Internet, "link set gateway0 up")
	in(Gateway, "route add default via %s", lastOf(p.GatewayPublic))
	add("ip netns exec %s sysctl -qw net.ipv4.ip_forward=1", p.Netns(Gateway))

	in(Internet, "link add %s address 02:00:00:71:00:fe type bridge", Edge)
	in(Internet, "address add %s/%d dev %s", p.EdgeRouter(), p.ProxyPublic.Bits(), Edge)
	in(Internet, "address add %s/32 dev %s", metadataRouter, Edge)
	in(Internet, "link set %s up", Edge)

	for _, address := range append([]netip.Addr{p.Resolver, p.OpenResolver, p.Metadata, p.Packages}, p.Echoes...) {
		if address.IsValid() {
			in(Internet, "address add %s/32 dev lo", address)
		}
	}
	add("ip netns exec %s sysctl -qw net.ipv4.ip_forward=1", p.Netns(Node))
	if !p.HostAddress.IsValid() {
		return c
	}

	add("ip link add %s type veth peer name host0 netns %s", p.hostLink(), p.Netns(Node))
	add("ip address add %s/30 dev %s", p.HostAddress, p.hostLink())
	add("ip link set %s up", p.hostLink())
	in(Node, "address add %s/30 dev host0", p.NodeAddress)
	in(Node, "link set host0 up")
	return c
}

// lastOf returns the last usable address of the /24 that contains the address:
// that of the internet's router.
func lastOf(address netip.Addr) netip.Addr {
	bytes := address.As4()
	bytes[3] = 254
	return netip.AddrFrom4(bytes)
}

func run(ctx context.Context, stdin string, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
