package cloudinit

import "testing"

// reopenedScript attempts connections to a port that opens a second later.
const reopenedScript = `attempt() { of_client perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(PeerAddr => $ENV{ADDRESS}, PeerPort => 3129, Timeout => 60) ? "open\n" : "$!\n"'; }
attempt
nft add element inet egress reopened_ports '{ 3129 timeout 60s }'
attempt &
attempt=$!
# The SYN, or one that the client has sent again, has been answered by a reset, which was dropped.
until nft list chain inet egress output | grep 'reopened_ports' | grep -q 'counter packets [1-9]'; do sleep 0.05; done
perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalAddr => $ENV{ADDRESS}, LocalPort => 3129, Listen => 50) or die $!; sleep 120' &
server=$!
wait "$attempt"
`

// TestConnectionWaitsForReopenedPort: a connection to a port on which Squid does not
// listen is refused, except while Squid rereads its file.
func TestConnectionWaitsForReopenedPort(t *testing.T) {
	got := behindFirewall(t, reopenedScript, func(rules string) string { return rules })
	if want := "Connection refused\nopen\n"; got != want {
		t.Errorf("the connections were %q, want %q", got, want)
	}
}

// closingScript attempts a connection to a port that Squid is about to close.
const closingScript = `perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalAddr => $ENV{ADDRESS}, LocalPort => 3129, Listen => 50) or die $!; sleep 120' &
server=$!
until ss --no-header --listening --tcp --numeric | grep -q :3129; do sleep 0.05; done
nft add element inet egress closing_ports '{ 3129 timeout 60s }'
of_client perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(PeerAddr => $ENV{ADDRESS}, PeerPort => 3129, Timeout => 60) ? "open\n" : "$!\n"' &
attempt=$!
until nft list chain inet egress input | grep 'closing_ports' | grep -q 'counter packets [1-9]'; do sleep 0.05; done
ss --no-header --tcp --numeric state all sport = :3129 | grep --count --invert-match LISTEN || true
nft flush set inet egress closing_ports
wait "$attempt"
`

// TestConnectionWaitsForClosingPort: no connection is made to a port that Squid is about to
// close, where it would be reset. It is made afterwards.
func TestConnectionWaitsForClosingPort(t *testing.T) {
	got := behindFirewall(t, closingScript, func(rules string) string { return rules })
	if want := "0\nopen\n"; got != want {
		t.Errorf("the connections were %q, want %q", got, want)
	}
}
