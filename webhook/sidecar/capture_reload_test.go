package main

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"egress.scw/webhook/api/sidecar"
	"egress.scw/webhook/sidecar/internal/machinetest"
)

// TestProgramCaptureReload: names keep their addresses with other files, and are served on
// the ports of these. On SIGTERM captured connections may end.
func TestProgramCaptureReload(t *testing.T) {
	t.Parallel()
	port, later := machinetest.FreePort(t), machinetest.FreePort(t)
	p := startProcess(t)
	machine, _ := captures(t, p, port)
	echo := machinetest.Target(t, machinetest.Echo)
	for _, number := range []uint16{port, later} {
		machine.Reach(fmt.Sprintf("a.example.com:%d", number), echo)
	}
	before, _ := p.ask(t, "a.example.com.", dns.TypeA)
	p.config.Capture.Ports = []uint16{port, later}
	p.mount(t)
	waitFor(t, "the new port is served", func() bool {
		connection, err := p.dial(t, "a.example.com", later)
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	})
	if after, _ := p.ask(t, "a.example.com.", dns.TypeA); len(after) != 1 || after[0] != before[0] {
		t.Errorf("the address was %v and is %v", before, after)
	}
	connection, err := p.dial(t, "a.example.com", later)
	if err != nil {
		t.Fatal(err)
	}
	open := &tunnel{connection, bufio.NewReader(connection)}
	if err := open.echo(); err != nil {
		t.Fatal(err)
	}
	p.stop(t)
	p.awaitLines(t, "stopping: open tunnels may end", 1)
	if err := open.echo(); err != nil {
		t.Errorf("the open connection: %v", err)
	}
	_ = open.Close()
	p.awaitEnd(t)
}

// TestProgramCapturePort: while another program has the port of the DNS server, the state
// and the log have the reason. The sidecar takes the port when it is free.
func TestProgramCapturePort(t *testing.T) {
	t.Parallel()
	p := startProcess(t)
	other, err := net.Listen("tcp", p.dns) //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	p.machine(t)
	p.config.Capture = &sidecar.Capture{
		Ports: []uint16{machinetest.FreePort(t)}, ClusterDomain: "cluster.local", Resolvers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")},
	}
	p.mount(t)
	p.awaitLines(t, "names are not captured, and the pod's programs resolve none", 1)
	if got := p.state(t); !strings.Contains(got, `"capture":"the DNS server cannot listen`) {
		t.Errorf("the state is %s", got)
	}
	_ = other.Close()
	p.awaitLines(t, "names are captured", 1)
	if got, rcode := p.ask(t, "a.example.com.", dns.TypeA); len(got) != 1 || !strings.HasPrefix(got[0], "127.") {
		t.Errorf("the addresses are %v, %s", got, rcode)
	}
}
