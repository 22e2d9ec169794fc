package machine

import (
	"net/netip"

	"egress.scw/hack/local/process"
)

// DHCP is the configuration that a NIC gets from the DHCP server on the bridge
// that it is connected to.
type DHCP struct {
	// Address is the NIC's address, with the length of its network: 32 for
	// a flexible address, which is alone in its network.
	Address netip.Prefix
	// Router is offered for the default route, in option 3. The bridge has
	// this address, or at least one in its network.
	Router netip.Addr
	// Classless offers the default route in option 121 as well.
	Classless bool
	// NameServer is offered as the resolver.
	NameServer netip.Addr
	// Upstream, if valid, makes the DHCP server a resolver that forwards to
	// it.
	Upstream netip.Addr
}

// leaseTime is short enough to see renewals in a test of some minutes.
const leaseTime = "2m"

func (d DHCP) command(name string, nic NIC) process.Command {
	address := d.Address.Addr().String()
	args := []string{
		"--keep-in-foreground", "--conf-file=/dev/null", "--log-facility=-", "--log-dhcp", "--no-ping", "--leasefile-ro", "--pid-file=", "--user=root",
		"--interface=" + nic.Bridge, "--bind-interfaces", "--dhcp-authoritative",
		// The range needs a mask that covers the bridge's address too,
		// to match it.
		"--dhcp-range=" + address + "," + address + ",255.255.252.0," + leaseTime,
		"--dhcp-host=" + nic.MAC + "," + address,
		// The bridge may have a server for each of several machines.
		"--dhcp-ignore=tag:!known",
		"--dhcp-option=option:router," + d.Router.String(),
		"--dhcp-option=option:dns-server," + d.NameServer.String(),
		"--dhcp-option-force=option:netmask," + netmask(d.Address.Bits()),
	}
	if d.Classless {
		args = append(args, "--dhcp-option=option:classless-static-route,0.0.0.0/0,"+d.Router.String())
	}
	if d.Upstream.IsValid() {
		args = append(args, "--no-hosts", "--no-resolv", "--server="+d.Upstream.String())
	} else {
		args = append(args, "--port=0")
	}
	return process.Command{Name: name, Netns: nic.Netns, Path: "dnsmasq", Args: args}
}

// netmask returns a prefix length as an IPv4 mask.
func netmask(bits int) string {
	all := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return netip.PrefixFrom(all, bits).Masked().Addr().String()
}
