package proxy

import (
	"fmt"
	"net/http"
	"testing"

	"egress.scw/hack/local/machine"
)

// checkPorts opens more tunnels, one after the other, than an address has
// ports. The control is the kernel's own limit, which soon exhausts the ports.
func checkPorts(t *testing.T, vm *machine.VM) {
	const ports, tunnels = 300, 600
	set := func(name, value string) (old string) {
		old = in(t, vm, "sysctl", "-n", name)
		in(t, vm, "sysctl", "-qw", name+"="+value)
		return old
	}
	defer set("net.ipv4.ip_local_port_range", set("net.ipv4.ip_local_port_range", fmt.Sprint(20000, 20000+ports-1)))
	limit := set("net.ipv4.tcp_max_tw_buckets", "100")
	defer set("net.ipv4.tcp_max_tw_buckets", limit)
	if limit != "20000" {
		t.Errorf("%s ended connections are remembered, want 20000", limit)
	}
	// The error of the first tunnel that cannot be opened.
	open := func() error {
		for i := range tunnels {
			conn, err := dial(t.Context(), netnsNode, fmt.Sprintf("%s:%d", proxyAddress, openPort))
			if err != nil {
				return err
			}
			got, err := conn.ask(http.MethodConnect, echoName+":443", echoName+":443")
			conn.Close()
			if err != nil || got.status != http.StatusOK {
				return fmt.Errorf("tunnel %d: status %d, %w", i+1, got.status, err)
			}
		}
		return nil
	}
	if err := open(); err != nil {
		t.Errorf("of %d tunnels, with %d ports: %v", tunnels, ports, err)
	}
	set("net.ipv4.tcp_max_tw_buckets", "100000")
	// Fewer, because the port of an ended connection is free again after a minute, in which a
	// busy machine opens few tunnels.
	set("net.ipv4.ip_local_port_range", fmt.Sprint(20000, 20000+ports/10-1))
	// A tunnel that is opened more than a second after an ended one could use its port.
	defer set("net.ipv4.tcp_tw_reuse", set("net.ipv4.tcp_tw_reuse", "0"))
	if open() == nil {
		t.Error("all tunnels are opened without the limit too, so the test has no control")
	}
}
