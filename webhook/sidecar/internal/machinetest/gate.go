package machinetest

import (
	"net"
	"net/netip"
	"sync"
	"testing"
)

// Gate is in front of a machine, and can be shut: then no data passes in either
// direction, as with a machine that hangs, while connections stay and are accepted.
type Gate struct {
	// Address is that of the gate.
	Address netip.AddrPort

	mu   sync.Mutex
	open sync.Cond
	shut bool
}

// NewGate returns an open gate in front of an address.
func NewGate(t testing.TB, behind netip.AddrPort) *Gate {
	t.Helper()
	g := new(Gate)
	g.open.L = &g.mu
	g.Address = netip.MustParseAddrPort(Target(t, func(outside *net.TCPConn) {
		inside, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(behind))
		if err != nil {
			return
		}
		var both sync.WaitGroup
		both.Go(func() { g.copy(inside, outside) })
		both.Go(func() { g.copy(outside, inside) })
		both.Wait()
	}))
	t.Cleanup(g.Open) // so that every copy ends
	return g
}

// Shut lets no data pass.
func (g *Gate) Shut() {
	g.mu.Lock()
	g.shut = true
	g.mu.Unlock()
}

// Open lets data pass again, with that which waits.
func (g *Gate) Open() {
	g.mu.Lock()
	g.shut = false
	g.open.Broadcast()
	g.mu.Unlock()
}

// copy copies until an end or an error, and then closes both connections.
func (g *Gate) copy(to, from *net.TCPConn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		g.mu.Lock()
		for g.shut {
			g.open.Wait()
		}
		g.mu.Unlock()
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}
