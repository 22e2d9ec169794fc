package cloudinit

import (
	"fmt"
	"strings"
	"testing"
)

// statusPortScript opens connections to the port for the state from a client of the Private
// Network, then one from the same NIC with another source address, and one from a second
// client, and prints what becomes of them.
const statusPortScript = `of_client ip address add 172.16.28.17/22 dev client0
of_client ip address add 198.51.100.2/24 dev client0
ip route add 198.51.100.0/24 dev ens5
perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalAddr => "0.0.0.0", LocalPort => 3128, Listen => 500) or die $!; sleep 120' &
server=$!
until ss --no-header --listening --tcp --numeric | grep -q ':3128 '; do sleep 0.05; done
of_client perl -MIO::Socket::INET -e '
sub attempt {
	my ($from, $timeout) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => $ENV{ADDRESS}, PeerPort => 3128, LocalAddr => $from, Timeout => $timeout);
	push @open, $socket if $socket;
	return $socket ? "open" : $! =~ /refused/ ? "refused" : "dropped";
}
for (1 .. $ENV{BOUND} + 2) { $count{attempt("172.16.28.16", 60)}++ }
print "one client: $count{open} open, $count{refused} refused\n";
print "another client: ", attempt("172.16.28.17", 60), "\n";
print "another network: ", attempt("198.51.100.2", 2), "\n";
'
`

// TestFirewallBoundsStatusPort: clients of the Private Network reach the port for the
// state, each by a bounded number of connections, and no other network does.
func TestFirewallBoundsStatusPort(t *testing.T) {
	got := behindFirewall(t, fmt.Sprintf("export BOUND=%d\n", statusClientConnections)+statusPortScript, func(rules string) string { return rules })
	want := fmt.Sprintf("one client: %d open, 2 refused\nanother client: open\nanother network: dropped\n", statusClientConnections)
	if got != want {
		t.Errorf("the connections were\n%swant\n%s", got, want)
	}
}

// TestFirewallBoundsStatusPortInAll: the connections of all clients are bounded, too.
func TestFirewallBoundsStatusPortInAll(t *testing.T) {
	bound := fmt.Sprintf("ct count over %d counter", statusConnections)
	got := behindFirewall(t, "export BOUND=2\n"+statusPortScript, func(rules string) string {
		if strings.Count(rules, bound) != 1 {
			t.Fatalf("the rules do not contain %q once", bound)
		}
		return strings.Replace(rules, bound, "ct count over 2 counter", 1)
	})
	if want := "one client: 2 open, 2 refused\nanother client: refused\nanother network: dropped\n"; got != want {
		t.Errorf("the connections were\n%swant\n%s", got, want)
	}
}
