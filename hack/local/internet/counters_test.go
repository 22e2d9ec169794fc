package internet

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"egress.scw/hack/local/network"
)

// The files in testdata are the output of nft 1.0.6 in a network namespace with
// CounterRuleset, after packets had been sent to it.
func TestParseCounters(t *testing.T) {
	flow := func(destination, protocol string, port uint16, packets uint64) Counter {
		return Counter{
			Interface: "eth0", Source: netip.MustParseAddr("192.0.2.2"), Destination: netip.MustParseAddr(destination),
			Protocol: protocol, Port: port, Packets: packets,
		}
	}
	flows := []Counter{
		flow("8.8.8.8", "udp", 53, 1),
		flow("192.0.2.10", "udp", 53, 1),
		flow("169.254.42.42", "tcp", 80, 3),
		flow("192.0.2.10", "tcp", 443, 2),
	}
	cases := map[string][]Counter{
		"set.json":   flows,
		"table.json": append([]Counter{flow("192.0.2.10", "icmp", 0, 1), flow("192.0.2.10", "253", 0, 1)}, flows...),
		"empty.json": {},
	}
	for file, want := range cases {
		t.Run(file, func(t *testing.T) {
			output, err := os.ReadFile(filepath.Join("testdata", file))
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseCounters(output)
			if err != nil {
				t.Fatal(err)
			}
			// nft prints the elements of a set in no order.
			order := cmpopts.SortSlices(func(a, b Counter) bool { return fmt.Sprint(a) < fmt.Sprint(b) })
			if diff := cmp.Diff(want, got, order, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseCountersRefuses(t *testing.T) {
	set := func(element string) string {
		return `{"nftables":[{"set":{"table":"egress_internet","name":"flows","elem":[` + element + `]}}]}`
	}
	cases := map[string]struct{ output, want string }{
		"no JSON":             {"table ip egress_internet {", "output of nft -j"},
		"another JSON":        {`{"items":[]}`, `there is no "nftables"`},
		"too few parts":       {set(`{"elem":{"val":{"concat":["eth0"]},"counter":{"packets":1}}}`), "set flows: an element of 1 parts"},
		"not counted":         {set(`{"elem":{"val":{"concat":["eth0","192.0.2.2","8.8.8.8","udp",53]}}}`), "without a counter"},
		"not an address":      {set(`{"elem":{"val":{"concat":["eth0","nobody","8.8.8.8","udp",53]},"counter":{"packets":1}}}`), "part 1"},
		"not a port":          {set(`{"elem":{"val":{"concat":["eth0","192.0.2.2","8.8.8.8","udp",65536]},"counter":{"packets":1}}}`), "part 4"},
		"negative":            {set(`{"elem":{"val":{"concat":["eth0","192.0.2.2","8.8.8.8","udp",53]},"counter":{"packets":-1}}}`), "packets"},
		"not a concatenation": {set(`"192.0.2.2"`), "output of nft -j"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := ParseCounters([]byte(test.output))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q; counters: %v", err, test.want, got)
			}
		})
	}
}

// TestCounterRuleset loads the ruleset in a network namespace and sends packets
// to it: to an address that it has, and to one that it would have to forward.
func TestCounterRuleset(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: network namespaces need root")
	}
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("skipped: there is no nft on this machine (Debian: apt install nftables)")
	}
	server, client := fmt.Sprintf("%scounters-%d", network.TestPrefix, os.Getpid()), fmt.Sprintf("%scounters-client-%d", network.TestPrefix, os.Getpid())
	for _, namespace := range []string{server, client} {
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
			defer cancel()
			if err := exec.CommandContext(ctx, "ip", "netns", "delete", namespace).Run(); err != nil {
				t.Errorf("network namespace %s still exists: %v", namespace, err)
			}
		})
		run(t, "", "ip", "netns", "add", namespace)
	}
	run(t, "", "ip", "link", "add", "eth0", "netns", server, "type", "veth", "peer", "name", "eth0", "netns", client)
	run(t, "", "ip", "-n", server, "address", "add", "192.0.2.1/24", "dev", "eth0")
	run(t, "", "ip", "-n", client, "address", "add", "192.0.2.2/24", "dev", "eth0")
	run(t, "", "ip", "-n", server, "link", "set", "eth0", "up")
	run(t, "", "ip", "-n", client, "link", "set", "eth0", "up")
	run(t, "", "ip", "-n", client, "route", "add", "default", "via", "192.0.2.1")

	send := func() {
		for _, destination := range []string{"192.0.2.1/53", "203.0.113.9/9"} {
			run(t, "", "ip", "netns", "exec", client, "bash", "-c", "echo > /dev/udp/"+destination)
		}
	}
	read := func() []Counter {
		counters, err := ParseCounters(run(t, "", "ip", "netns", "exec", server, "nft", "-j", "list", "table", "ip", counterTable))
		if err != nil {
			t.Fatal(err)
		}
		return counters
	}
	packets := func(counters []Counter, destination string, port uint16) uint64 {
		for _, c := range counters {
			if c.Interface == "eth0" && c.Source.String() == "192.0.2.2" && c.Destination.String() == destination && c.Protocol == "udp" && c.Port == port {
				return c.Packets
			}
		}
		return 0
	}

	run(t, CounterRuleset(), "ip", "netns", "exec", server, "nft", "-f", "-")
	if counters := read(); len(counters) != 0 {
		t.Errorf("counters before there was anything to count: %v", counters)
	}
	send()
	send()
	counters := read()
	for deadline := time.Now().Add(time.Minute); packets(counters, "203.0.113.9", 9) < 2 && time.Now().Before(deadline); counters = read() {
		time.Sleep(20 * time.Millisecond)
	}
	for destination, port := range map[string]uint16{"192.0.2.1": 53, "203.0.113.9": 9} {
		if got := packets(counters, destination, port); got != 2 {
			t.Errorf("%d packets to %s, want 2: %v", got, destination, counters)
		}
	}
	run(t, CounterRuleset(), "ip", "netns", "exec", server, "nft", "-f", "-")
	if counters := read(); len(counters) != 0 {
		t.Errorf("counters after the ruleset was loaded again: %v", counters)
	}
}

// run runs a command that must succeed.
func run(t *testing.T, stdin string, argv ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.Stdin = strings.NewReader(stdin)
	var problems strings.Builder
	command.Stderr = &problems
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, problems.String())
	}
	return output
}
