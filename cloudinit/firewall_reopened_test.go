package cloudinit

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// reopenedScript attempts connections to a port that opens a second later, by the
// firewall in a network namespace of its own.
const reopenedScript = `set -eu
unshare --net sleep 120 &
client=$! server=''
trap 'kill $client $server' EXIT
until [ "$(readlink "/proc/$client/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
of_client() { nsenter --target "$client" --net "$@"; }
ip link add ens5 type veth peer name client0
ip link set client0 netns "$client"
ip address add "$ADDRESS/22" dev ens5
ip link set ens5 up
of_client ip address add 172.16.28.16/22 dev client0
of_client ip link set client0 up
nft -f "$RULES"
attempt() { of_client perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(PeerAddr => $ENV{ADDRESS}, PeerPort => 3129, Timeout => 60) ? "open\n" : "$!\n"'; }
attempt
nft add element inet egress reopened_ports '{ 3129 timeout 60s }'
attempt &
attempt=$!
# The SYN has been answered by a reset, which was dropped.
until nft list chain inet egress output | grep -q 'counter packets 1 '; do sleep 0.05; done
perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalAddr => $ENV{ADDRESS}, LocalPort => 3129, Listen => 50) or die $!; sleep 120' &
server=$!
wait "$attempt"
`

// TestConnectionWaitsForReopenedPort: a connection to a port on which Squid does not
// listen is refused, except while Squid rereads its file.
func TestConnectionWaitsForReopenedPort(t *testing.T) {
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
	root.write("/etc/nftables.conf", strings.ReplaceAll(root.read("/etc/nftables.conf"), `include "`, `include "`+root.path("")))

	command := exec.CommandContext(t.Context(), "unshare", "--net", "bash", "-c", reopenedScript)
	command.Env = append(os.Environ(), "RULES="+root.path("/etc/nftables.conf"), "ADDRESS="+machine.PrivateAddress.String())
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if got, want := string(output), "Connection refused\nopen\n"; got != want {
		t.Errorf("the connections were %q, want %q", got, want)
	}
}
