package cloudinit

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// firewallNetwork loads the firewall in a network namespace, with a client in another
// one. Scripts set server and holder to further processes that end with them.
const firewallNetwork = `set -eu
unshare --net sleep 120 &
client=$! server='' holder=''
trap 'kill $client $server $holder' EXIT
until [ "$(readlink "/proc/$client/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
of_client() { nsenter --target "$client" --net "$@"; }
ip link add ens5 type veth peer name client0
ip link set client0 netns "$client"
ip address add "$ADDRESS/22" dev ens5
ip link set ens5 up
of_client ip address add 172.16.28.16/22 dev client0
of_client ip link set client0 up
nft -f "$RULES"
`

// behindFirewall runs a script behind firewallNetwork, and returns its output. The rules
// are those of a machine after change.
func behindFirewall(t *testing.T, script string, change func(rules string) string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: needs root for network namespaces")
	}
	for _, program := range []string{"nft", "ip", "unshare", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("skipped: there is no %s on this machine (Debian: apt install nftables iproute2 util-linux)", program)
		}
	}
	machine := validMachine()
	root := newMachineRoot(t, machine)
	root.write("/etc/egress/nics.nft", "define public_nic = ens2\ndefine private_nic = ens5\n")
	root.write(openPorts, "add element inet egress open_ports { 3129 }\n")
	rules := strings.ReplaceAll(root.read("/etc/nftables.conf"), `include "`, `include "`+root.path(""))
	root.write("/etc/nftables.conf", change(rules))
	command := exec.CommandContext(t.Context(), "unshare", "--net", "bash", "-c", firewallNetwork+script)
	command.Env = append(os.Environ(), "RULES="+root.path("/etc/nftables.conf"), "ADDRESS="+machine.PrivateAddress.String())
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return string(output)
}
