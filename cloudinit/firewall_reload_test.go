package cloudinit

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// reloadScript loads the firewall in a network namespace, with a client in another one.
// The client has two connections to a tenant's port, which is its bound, and attempts a
// third one before and after the firewall is loaded again.
const reloadScript = `set -eu
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
perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalAddr => $ENV{ADDRESS}, LocalPort => 3129, Listen => 50) or die $!; sleep 120' &
server=$!
# Not by of_client: the trap would end the subshell of the function, and not perl.
nsenter --target "$client" --net perl -MIO::Socket::INET -e '
  for (1 .. 2) { select(undef, undef, undef, 0.05) until $s[$_] = IO::Socket::INET->new(PeerAddr => $ENV{ADDRESS}, PeerPort => 3129) }
  open(my $done, ">", "$ENV{RULES}.open"); print $done "2\n"; close($done); sleep 120' &
holder=$!
until [ -s "$RULES.open" ]; do sleep 0.05; done
third() { of_client perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(PeerAddr => $ENV{ADDRESS}, PeerPort => 3129, Timeout => 10) ? "open\n" : "refused\n"'; }
third
nft add element inet egress released_ports '{ 9130 timeout 30s }'
nft add rule inet egress input counter comment '"of before"'
nft -f "$RULES"
third
nft list table inet egress
`

// TestReloadKeepsCounts: when the firewall is loaded again, the open connections of a
// tenant still count, and so do the refused ones and the releases of ports. The rules
// are those of the file.
func TestReloadKeepsCounts(t *testing.T) {
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
	bound := fmt.Sprintf("ct count over %d", TenantConnections)
	if strings.Count(rules, bound) != 1 {
		t.Fatalf("the file has not one %q", bound)
	}
	root.write("/etc/nftables.conf", strings.Replace(rules, bound, "ct count over 2", 1))

	command := exec.CommandContext(t.Context(), "unshare", "--net", "bash", "-c", reloadScript)
	command.Env = append(os.Environ(), "RULES="+root.path("/etc/nftables.conf"), "ADDRESS="+machine.PrivateAddress.String())
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	text := string(output)
	for _, want := range []string{"refused\nrefused\n", "3129 counter packets 2 ", "9130 timeout 30s", "elements = { 3129 }"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "of before") || strings.Count(text, "ct state established,related accept") != 2 {
		t.Errorf("the rules are not those of the file:\n%s", text)
	}
}
