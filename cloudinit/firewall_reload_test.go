package cloudinit

import (
	"fmt"
	"strings"
	"testing"
)

// reloadScript: the client has two connections to a tenant's port, which is its bound, and attempts a
// third one before and after the firewall is loaded again.
const reloadScript = `perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalAddr => $ENV{ADDRESS}, LocalPort => 3129, Listen => 50) or die $!; sleep 120' &
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
	text := behindFirewall(t, reloadScript, func(rules string) string {
		bound := fmt.Sprintf("ct count over %d", TenantConnections)
		if strings.Count(rules, bound) != 1 {
			t.Fatalf("the file has not one %q", bound)
		}
		return strings.Replace(rules, bound, "ct count over 2", 1)
	})
	for _, want := range []string{"refused\nrefused\n", "3129 counter packets 2 ", "9130 timeout 30s", "elements = { 3129 }"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "of before") || strings.Count(text, "ct state established,related accept") != 2 {
		t.Errorf("the rules are not those of the file:\n%s", text)
	}
}
