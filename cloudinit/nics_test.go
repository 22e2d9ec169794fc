package cloudinit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// image describes the network programs of an image.
type image struct {
	ifupdown, dhcpcd bool
	network          string // the file by which networkd configures the public NIC, if it does
}

// Scaleway's images may be of any of these kinds.
var images = map[string]image{
	"ifupdown with dhclient": {ifupdown: true},
	"ifupdown with dhcpcd":   {ifupdown: true, dhcpcd: true},
	"netplan":                {network: "/run/systemd/network/10-netplan-ens2.network"},
	"networkd":               {network: "/etc/systemd/network/10-cloud-init-ens2.network"},
}

const (
	ownNetwork   = "/etc/systemd/network/05-egress-private.network"
	stanza       = "/etc/network/interfaces.d/60-egress"
	dhcpcdConf   = "/etc/dhcpcd.conf"
	dhcpcdBlock  = "# Written by egress-nics, up to the end of the file.\ninterface %s\nnogateway\nnooption domain_name_servers, domain_name, domain_search\n"
	keeps        = "[Network]\nKeepConfiguration=yes\n"
	onlyAddress  = "[DHCPv4]\nUseRoutes=no\nUseGateway=no\nUseDNS=no\nUseDomains=no\n"
	restartsNetd = "systemctl try-restart systemd-networkd.service"
)

// newNICs returns a machine with a public NIC ens2 and a private NIC ens5.
func newNICs(t *testing.T, source SourceAddress, image image) *machineRoot {
	t.Helper()
	machine := validMachine()
	machine.SourceAddress = source
	root := newMachineRoot(t, machine)
	root.write("/bin/ip", `#!/bin/sh
case "$*" in
"-o link show") echo '2: ens2: <UP> link/ether de:00:00:00:00:02 brd ff'; echo '3: ens5: <UP> link/ether 02:00:00:00:00:05 brd ff' ;;
"-4 -o route get "*) echo "$5 via 203.0.113.254 dev ens2 src 203.0.113.50 uid 0" ;;
esac
`)
	root.program("systemctl", `[ "$2" != is-active ]`)
	root.write("/sys/class/net/ens2/ifindex", "2\n")
	root.write("/sys/class/net/ens5/ifindex", "3\n")
	if image.ifupdown {
		root.write("/usr/sbin/ifup", "")
	}
	if image.dhcpcd {
		root.write(dhcpcdConf, "hostname\nduid\n")
		root.write("/run/dhcpcd/ens2.pid", "7\n")
		root.program("dhcpcd")
	}
	if image.network != "" {
		root.write("/run/systemd/netif/links/2", "ADMIN_STATE=configured\nNETWORK_FILE="+image.network+"\n")
	}
	return root
}

// TestPrivateNICComesUp: the private NIC is brought up by the programs of the image, at
// boot too.
func TestPrivateNICComesUp(t *testing.T) {
	for name, image := range images {
		for _, source := range []SourceAddress{SourceFlexibleIP, SourceGateway} {
			t.Run(name+"/"+string(source), func(t *testing.T) {
				root := newNICs(t, source, image)
				root.run("egress-nics")
				if image.ifupdown {
					if got := root.read(stanza); !strings.Contains(got, "\nauto ens5\n") {
						t.Errorf("ifupdown does not bring the NIC up at boot: %q", got)
					}
					return
				}
				if got := root.read(ownNetwork); !strings.Contains(got, "\n[Match]\nMACAddress=02:00:00:00:00:05\n\n[Network]\nDHCP=ipv4\n") {
					t.Errorf("networkd does not bring the NIC up: %q", got)
				}
			})
		}
	}
}

// TestOnlyTheAddressOfOtherLease: whichever program is the DHCP client, it takes routes
// and name servers from the lease of one NIC only, by which requests leave.
func TestOnlyTheAddressOfOtherLease(t *testing.T) {
	for name, image := range images {
		for source, other := range map[SourceAddress]string{SourceFlexibleIP: "ens5", SourceGateway: "ens2"} {
			t.Run(name+"/"+string(source), func(t *testing.T) {
				root := newNICs(t, source, image)
				root.run("egress-nics")
				calls := root.calls()
				root.run("egress-nics") // changes nothing
				if more := root.calls()[len(calls):]; len(more) > 1 {
					t.Errorf("a second run calls %q", more)
				}
				want := []string{"systemctl --quiet is-active nftables.service"}
				if image.network != "" {
					publicFile := "/etc/systemd/network" + image.network[strings.LastIndex(image.network, "/"):]
					for nic, file := range map[string]string{"ens2": publicFile, "ens5": ownNetwork} {
						want := keeps
						if nic == other {
							want += onlyAddress
						}
						if diff := cmp.Diff(want, root.read(file+".d/egress.conf")); diff != "" {
							t.Errorf("drop-in of %s, -want +got:\n%s", file, diff)
						}
					}
					want = append([]string{restartsNetd}, want...)
				}
				if image.dhcpcd {
					if got, want := root.read(dhcpcdConf), "hostname\nduid\n"+fmt.Sprintf(dhcpcdBlock, other); got != want {
						t.Errorf("dhcpcd.conf is %q, want %q", got, want)
					}
					if source == SourceGateway { // dhcpcd runs for the public NIC only
						want = append([]string{"dhcpcd --rebind ens2"}, want...)
					}
				}
				if diff := cmp.Diff(want, calls); diff != "" {
					t.Errorf("calls, -want +got:\n%s", diff)
				}
			})
		}
	}
}

// TestNetworkdKeepsForeignRoutes: networkd, which needrestart restarts, does not remove
// the routes and rules of egress-net.
func TestNetworkdKeepsForeignRoutes(t *testing.T) {
	text := contentOf(t, render(t, validMachine()), "/etc/systemd/networkd.conf.d/egress.conf")
	for _, line := range []string{"ManageForeignRoutes=no\n", "ManageForeignRoutingPolicyRules=no\n"} {
		if !strings.HasPrefix(text, "[Network]\n") || !strings.Contains(text, "\n"+line) {
			t.Errorf("no %q in %q", line, text)
		}
	}
}

// TestLease: egress-net finds the router of a NIC without a default route in the lease
// of each client.
func TestLease(t *testing.T) {
	for name, lease := range map[string]func(*machineRoot){
		"networkd": func(root *machineRoot) {
			root.write("/run/systemd/netif/leases/2", "ADDRESS=203.0.113.50\nNETMASK=255.255.255.255\nROUTER=203.0.113.254 203.0.113.253\nDNS=192.0.2.53\n")
		},
		"dhcpcd": func(root *machineRoot) {
			root.program("dhcpcd", `[ "$*" != "--dumplease --ipv4only ens2" ] || printf "domain_name_servers='192.0.2.53'\nip_address='203.0.113.50'\nrouters='203.0.113.254 203.0.113.253'\n"`)
		},
		"dhclient": func(root *machineRoot) {
			root.write("/var/lib/dhcp/dhclient.ens2.leases", `lease {
  fixed-address 203.0.113.49;
  option routers 203.0.113.1;
}
lease {
  interface "ens2";
  fixed-address 203.0.113.50;
  option routers 203.0.113.254,203.0.113.253;
}
`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := newNICs(t, SourceGateway, image{})
			root.write("/etc/egress/nics.conf", "PUBLIC_NIC=ens2\nPRIVATE_NIC=ens5\n")
			root.program("ip")
			lease(root)
			root.run("egress-net")
			if want := "ip route replace " + metadataAddress + "/32 via 203.0.113.254 dev ens2 onlink"; !strings.Contains(strings.Join(root.calls(), "\n"), want) {
				t.Errorf("no call %q in:\n%s", want, strings.Join(root.calls(), "\n"))
			}
		})
	}
}
