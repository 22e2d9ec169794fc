package machinetest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// listenAlone listens on a loopback address of its own. Tests of other packages run at
// the same time: on 127.0.0.1, one of them may get the port of a listener that is closed.
func listenAlone(t testing.TB) net.Listener {
	t.Helper()
	address := fmt.Sprintf("127.75.%d.%d:0", rand.IntN(256), 1+rand.IntN(254)) //nolint:gosec // no secret
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// FreeAddress returns a loopback address on which nothing listens, and that no other test
// uses.
func FreeAddress(t testing.TB) string {
	t.Helper()
	listener := listenAlone(t)
	_ = listener.Close()
	return listener.Addr().String()
}

// FreePort returns a port on which nothing listens by TCP, on any address. Until the test
// ends, no other call returns it, in this process or in another one. The port is below those
// that the kernel gives to connections (net.ipv4.ip_local_port_range), and below those that
// the tests of Squid choose.
func FreePort(t testing.TB) uint16 {
	t.Helper()
	const attempts = 1000
	for range attempts {
		port := uint16(10_000 + rand.IntN(5_000)) //nolint:gosec // no secret
		// The reservation. Nothing else uses this address.
		reserved, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp4", fmt.Sprintf("127.74.0.1:%d", port))
		if err != nil {
			continue
		}
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			_ = reserved.Close()
			continue
		}
		_ = listener.Close()
		t.Cleanup(func() { _ = reserved.Close() })
		return port
	}
	t.Fatalf("no port was free in %d attempts", attempts)
	return 0
}
