package cloudinit

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// newSources returns a machine with a squid.conf of two source addresses. It has the
// addresses in the file addresses, and its metadata are those in the file conf.
func newSources(t *testing.T) *machineRoot {
	t.Helper()
	root := newMachineRoot(t, validMachine())
	root.write("/etc/squid/squid.conf", "tcp_outgoing_address 203.0.113.50 e_1\ntcp_outgoing_address 203.0.113.51 e_2\ntcp_outgoing_address 127.0.0.1 all\ntcp_outgoing_address ::1 all\n")
	root.program("ip", `case "$*" in
"-4 -o addr show")
	echo "1: lo    inet 127.0.0.1/8 scope host lo"
	sed "s#.*#2: ens2    inet &/32 scope global ens2#" `+root.path("addresses")+` ;;
*) echo "$5 via 192.0.2.1 dev ens2 src 192.0.2.2 uid 0" ;;
esac`)
	root.program("nft", `[ ! -e `+root.path("no-table")+` ]`)
	root.program("systemctl")
	root.program("curl", `case "$*" in *user_data*) exit 22 ;; esac
cat `+root.path("conf"))
	root.write("addresses", "203.0.113.50\n203.0.113.51\n")
	root.write("conf", "{}")
	return root
}

// changesOf returns the changes of the firewall in the recorded calls.
func changesOf(root *machineRoot) []string {
	return slices.DeleteFunc(root.calls(), func(call string) bool { return !strings.HasPrefix(call, "nft ") })
}

// TestMissingSourcesCloseTheStatusPort: the port for the state is closed while the machine
// lacks a source address of its squid.conf, also if the table does not exist for a while.
func TestMissingSourcesCloseTheStatusPort(t *testing.T) {
	const add, flush = "nft add element inet egress closed_status { 3128 }", "nft flush set inet egress closed_status"
	root := newSources(t)
	root.write(scriptFolder+"/check", `set -euo pipefail
. "$EGRESS_ROOT/usr/local/lib/egress/common.sh"
. "$root/usr/local/lib/egress/sources.sh"
check_sources "$root/etc/squid/squid.conf"
`)
	check := func(when, says string, want ...string) {
		t.Helper()
		root.write("calls", "")
		output := root.run("check")
		if !strings.Contains(output, says) || says == "" && output != "" {
			t.Errorf("%s: it prints %q, want %q", when, output, says)
		}
		if got := changesOf(root); !slices.Equal(got, want) {
			t.Errorf("%s: changes of the firewall %q, want %q", when, got, want)
		}
	}
	check("complete", "")
	root.write("addresses", "203.0.113.50\n")
	root.write("no-table", "")
	check("one is missing, without a table", "does not have 203.0.113.51", add)
	check("still missing", "", add)
	root.write("addresses", "203.0.113.51\n203.0.113.50\n")
	check("complete, without a table", "", flush)
	if err := os.Remove(root.path("no-table")); err != nil {
		t.Fatal(err)
	}
	check("complete again", "the port for the state is open", flush)
	check("still complete", "")
	if err := os.Remove(root.path("/etc/squid/squid.conf")); err != nil {
		t.Fatal(err)
	}
	check("before there is a squid.conf", "")
}

// TestPollFollowsAddresses: egress-poll starts egress-net when the properties of the
// machine are not those that egress-net has seen.
func TestPollFollowsAddresses(t *testing.T) {
	root := newSources(t)
	poll := func(when string, want bool) {
		t.Helper()
		root.write("calls", "")
		root.run("egress-poll")
		if got := slices.Contains(root.calls(), "systemctl start --no-block egress-net.service"); got != want {
			t.Errorf("%s: egress-net is started: %t, want %t", when, got, want)
		}
	}
	poll("before egress-net", false)
	root.write("/var/lib/egress/addresses.json", "{}")
	poll("seen", false)
	root.write("conf", `{"public_ips_v4": []}`)
	poll("changed", true)
}

// TestPollWaitsForAddresses: while a source address is missing, egress-poll looks for it
// again until it is there.
func TestPollWaitsForAddresses(t *testing.T) {
	root := newSources(t)
	root.write("/run/egress/incomplete", "")
	root.write("/var/lib/egress/addresses.json", "{}")
	root.program("curl", `case "$*" in *user_data*) exit 22 ;; esac
if [ -e `+root.path("asked")+` ]; then echo '{"public_ips_v4": []}'; else printf '{}'; fi
touch `+root.path("asked"))
	root.program("systemctl", "rm "+root.path("/run/egress/incomplete"))
	root.run("egress-poll")
	if calls := root.calls(); !slices.Contains(calls, "systemctl start --no-block egress-net.service") {
		t.Errorf("egress-net is not started: %q", calls)
	}
}

// TestOwnRequestsLeaveFromASource: the machine's own requests leave from an address of
// squid.conf, because the address that DHCP assigned may go.
func TestOwnRequestsLeaveFromASource(t *testing.T) {
	root := newSources(t)
	root.write("/etc/egress/nics.conf", "PUBLIC_NIC=ens2\nPRIVATE_NIC=ens5\n")
	address := func(ip string) string { return `{"address": "` + ip + `", "netmask": "32", "gateway": "192.0.2.1"}` }
	root.write("/run/egress-net.lock", "")
	root.write("conf", `{"public_ips_v4": [`+address("203.0.113.52")+`, `+address("203.0.113.51")+`, `+address("203.0.113.50")+`]}`)
	root.run("egress-net")
	for _, want := range []string{
		"ip route replace default via 192.0.2.1 dev ens2 onlink src 203.0.113.51",
		"ip route replace 169.254.42.42/32 via 192.0.2.1 dev ens2 onlink src 203.0.113.51",
	} {
		if calls := root.calls(); !slices.Contains(calls, want) {
			t.Errorf("there is no call %q in %q", want, calls)
		}
	}
}
