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

	mu      sync.Mutex
	open    sync.Cond
	shut    bool
	count   int // of connections
	stalled int // so many connections are shut, the first ones
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
		g.mu.Lock()
		g.count++
		number := g.count
		g.mu.Unlock()
		var both sync.WaitGroup
		both.Go(func() { g.copy(inside, outside, number) })
		both.Go(func() { g.copy(outside, inside, number) })
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

// Stall lets no data pass on the present connections.
func (g *Gate) Stall() {
	g.mu.Lock()
	g.stalled = g.count
	g.mu.Unlock()
}

// Count returns the number of connections so far.
func (g *Gate) Count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count
}

// Open lets data pass again, with that which waits.
func (g *Gate) Open() {
	g.mu.Lock()
	g.shut, g.stalled = false, 0
	g.open.Broadcast()
	g.mu.Unlock()
}

// copy copies until an end or an error, and then closes both connections.
func (g *Gate) copy(to, from *net.TCPConn, number int) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		g.mu.Lock()
		for g.shut || number <= g.stalled {
			g.open.Wait()
		}
		g.mu.Unlock()
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}
